"""A large store: how long `status`, an exhibit's DataFrame and one more record take.

python tests/benchmarks/store.py [records] [folder]     100000 records take some 2.5 GB and a few minutes to make

aim: `status` and an exhibit's DataFrame under 10 s at 100,000 records; one more record costs the same at any size.
measured on two cores that other work kept busy (seconds of one core): status 5.0 at first and 3.0 with the index, an
exhibit of 3,000 cells 2.1 and its DataFrame 0.8, every record and curve 17; one more record 68 ms, empty store or not.

Records are copies of a real one under the keys of real cells. A folder that is given is kept and used again.
"""

import contextlib
import io
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.analysis.study import frame
from harness.cli import dispatch
from harness.config.schema import Cell
from harness.store import (
    archive,
    fingerprint,
    identity,
)
from harness.store.store import Store, summarise

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/harness/store/golden/record-schema-1.json").read_text())
ARMS, TASKS = 20, 50
EXHIBIT = 3_000


def many(count: int) -> Iterator[Cell]:
    """Cells as an exhibit has them: arms x tasks x seeds, seed by seed."""
    base = identity.from_json(GOLDEN["record"]["cell"])
    choices = product(range(-(-count // (ARMS * TASKS))), range(TASKS), range(1, ARMS + 1))
    for seed, task, rank in list(choices)[:count]:
        method = replace(base.method, fields={**base.method.fields, "rank": rank, "alpha": 2.0 * rank})
        yield replace(base, method=method, task=replace(base.task, name=f"made/{task:02}"), seed=seed)


def record_of(cell: Cell) -> dict[str, Any]:
    record = {**GOLDEN["record"], "key": identity.key(cell), "cell": identity.to_json(cell), "attempt": 1}
    mark = fingerprint.fingerprint(fingerprint.Subject.of_cell(cell))
    return {**record, "provenance": {**record["provenance"], "fingerprint": mark}}


def fill(store: Store, wanted: list[Cell]) -> None:
    """Straight to the disk, without an fsync for each file: only how they are read is measured."""
    store.path.mkdir(parents=True, exist_ok=True)
    (store.path / "store.json").write_text('{"schema": 1}')
    curve = "".join(json.dumps(point) + "\n" for point in GOLDEN["curve"])
    for cell in wanted:
        record = record_of(cell)
        folder = store.folder(record["key"])
        attempt = folder / "attempts" / "1"
        if (folder / "current").exists():
            continue
        attempt.mkdir(parents=True)
        (folder / "cell.json").write_text(json.dumps(record["cell"], indent=1))
        (attempt / "record.json").write_text(json.dumps(record, indent=1))
        (attempt / "curve.jsonl").write_text(curve)
        (folder / "current").write_text(json.dumps(summarise(record), indent=1))


def add(stores: tuple[Store, Store], added: list[Cell]) -> list[float]:
    """Median seconds from a fresh cell to its record, synced, as a worker does it; in turns, under the same load."""
    walls: list[list[float]] = [[], []]
    for cell in added:
        record = record_of(cell)
        for store, into in zip(stores, walls, strict=True):
            started = time.perf_counter()
            folder = store.begin(cell)
            store.finish(record["key"], folder, {**record, "attempt": folder.number})
            into.append(time.perf_counter() - started)
    return [statistics.median(into) for into in walls]


def timed(what: str, act: Any) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = act()
    told = f"{time.perf_counter() - wall:7.2f} s  ({time.process_time() - cpu:.2f} s of one core)"
    print(f"  {what:<46} {told}", flush=True)
    return answer


def status(store: Store) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert dispatch.main(["status", f"store={store.path}"]) == 0
    [total] = [line.split()[1:] for line in told.getvalue().splitlines() if line.startswith("all ")]
    assert sum(map(int, total)) == len(list(store.keys()))


def main(count: int, folder: Path) -> None:
    store = Store(folder / "store")
    wanted = list(many(count + 200))
    fill(store, wanted[:count])
    (store.path / "index.json").unlink(missing_ok=True)
    size = len(list(store.keys()))
    print(f"{size:,} records, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}:")
    timed("status, first time (writes the index)", lambda: status(store))
    timed("status, with the index", lambda: status(store))
    keys = [identity.key(cell) for cell in wanted[: min(EXHIBIT, count)]]
    runs = timed(f"an exhibit of {len(keys):,} cells: records and curves", lambda: archive.from_store(store, keys))
    timed(f"  its DataFrame ({frame.scores.__name__})", lambda: frame.scores(runs))
    timed("every record and curve, one after the other", lambda: sum(1 for _ in store.runs(store.keys())))
    few, much = add((Store(folder / f"small-{time.time_ns()}"), store), wanted[count:])
    print(f"  {'one more record, in an empty store':<46} {1e3 * few:7.2f} ms  (median of 200)")
    print(f"  {'one more record, in this one':<46} {1e3 * much:7.2f} ms")
    print(f"  memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "100000"]
    with tempfile.TemporaryDirectory() as scratch:
        main(int(arguments[0]), Path(arguments[1]) if len(sys.argv) > 2 else Path(scratch))
