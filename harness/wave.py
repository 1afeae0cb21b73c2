"""Cells that may run side by side: handed to a launcher pass after pass, until each was tried once. Torch-free."""

import sys
import time
from collections.abc import Mapping, Sequence

from harness.errors import UsageError
from harness.execution import launch, worker
from harness.store.store import Store

WAIT_S = 2.0


def drain(store: Store, keys: Sequence[str], seen: Mapping[str, int], setup: worker.Setup, plan: launch.Plan) -> None:
    """Cells that may run side by side, pass after pass; those of lost workers are handed over again, at last apart."""
    losses, apart = 0, False
    while left := [key for key in keys if worker.tried(store, key) == seen[key]]:
        apart = apart or losses == launch.LOST - 1
        lost = launch.hand_over([(key, seen[key]) for key in left], setup, plan, apart)
        launch.tell(lost)
        ended = any(worker.tried(store, key) != seen[key] for key in left)
        losses = losses + 1 if lost and not ended else int(bool(lost))
        if losses == launch.LOST:
            _give_up(store, left, lost)
            return
        if lost:
            launch.pause(losses)
        elif not _wait_for_others(store, left, seen, setup.deadline):
            return


def _give_up(store: Store, left: Sequence[str], lost: Sequence[Exception]) -> None:
    """UsageError where not one cell has even begun: then it is not a cell that ends its worker."""
    if not any(store.unfinished(key) or store.summary(key) for key in left):
        raise UsageError(f"the launcher starts no cell: {' '.join(str(lost[-1]).split())[:500]}")
    print(f"gave up: workers were lost {launch.LOST} times in a row and no cell ended", file=sys.stderr)


def _wait_for_others(store: Store, keys: Sequence[str], seen: Mapping[str, int], deadline: float | None) -> bool:
    """Wait for cells that other processes hold. True when another pass has something to do."""
    waited = False
    while deadline is None or time.time() < deadline:
        left = [key for key in keys if worker.tried(store, key) == seen[key]]
        if not any(store.is_running(key) for key in left):
            return bool(left) and (waited or len(left) < len(keys))
        if not waited:
            print(f"waiting for {len(left)} cells that another process runs", file=sys.stderr)
        waited = True
        time.sleep(WAIT_S)
    return False
