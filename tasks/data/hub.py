"""Rows of a data set on the Hub, or one sentence with the reason why they cannot be read. No other module uses the
network.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import RowsAbsent, UsageError
from tasks.data import row_files

PARQUET = "refs/convert/parquet"
"""The Hub's own Parquet copy of a data set: its newest rows, also where the repository holds a script."""


AGAIN_S = 300.0
"""Seconds after a failed connection in which other data sets are looked up in the cache alone."""
_unreached: list[float] = []


def rows(
    task: str, name: str, config: str | None, revision: str, split: str, schema: row_files.Schema, about: str = ""
) -> list[row_files.Row]:
    """Return the rows of one split with the schema's fields. Raise RowsAbsent with the task and the way out."""
    if not name:
        raise RowsAbsent(f"task {task}: it has no copy on the Hub. Give a folder with task.data_dir=FOLDER{about}.")
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its six retries without a network would each print a warning
    try:
        with _patience():
            table = datasets.load_dataset(name, config, revision=revision, split=split)
    except Exception as error:  # a dozen kinds: no network, no such id, no such revision
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RowsAbsent(
            f"task {task}: {name} ({config or 'default'}, {split}) could not be read from the Hub "
            f"({reason:.200}). Connect to the network once, or give a local copy with task.data_dir=FOLDER "
            "or, for a folder of many, DELTABENCH_DATA."
        ) from error
    if not len(table):
        raise UsageError(f"task {task}: {name} ({config or 'default'}) has no rows in its {split} split.")
    return [row_files.typed(dict(row), schema, f"{name} {split} row {i}") for i, row in enumerate(table, start=1)]


@contextmanager
def _patience() -> Iterator[None]:
    """Read the cache alone where the Hub was out of reach a moment ago: its retries take 24 seconds for each name."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if _unreached and time.monotonic() - _unreached[-1] < AGAIN_S:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    except ConnectionError:
        if not datasets.config.HF_HUB_OFFLINE:
            _unreached.append(time.monotonic())
        raise
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
