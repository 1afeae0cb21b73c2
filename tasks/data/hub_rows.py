"""Rows of a data set on the Hub, or one sentence with the reason why they cannot be read."""

import os
import re
from contextlib import nullcontext
from pathlib import Path

from harness import network
from harness.errors import RowsAbsent, UsageError
from tasks.data import row_files

PARQUET = "refs/convert/parquet"
"""The Hub's own Parquet copy of a data set: its newest rows, also where the repository holds a script."""


def rows(
    task: str, name: str, config: str | None, revision: str, split: str, schema: row_files.Schema, about: str = ""
) -> list[row_files.Row]:
    """Return the rows of one split with the schema's fields. Raise RowsAbsent with the task and the way out."""
    if not name:
        raise RowsAbsent(f"task {task}: it has no copy on the Hub. Give a folder with task.data_dir=FOLDER{about}.")
    which = f"{name} ({config or 'default'}, {split})"
    way_out = (
        "Connect to the network once, or give a local copy with task.data_dir=FOLDER or, for a folder of many, "
        "DELTABENCH_DATA."
    )
    obstacle = network.obstacle()
    if obstacle and not _cached(name):  # the import of datasets takes seconds
        raise RowsAbsent(f"task {task}: {which} is not on this machine, and {obstacle}. {way_out}")
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its six retries without a network would each print a warning
    try:
        with network.cache_alone() if obstacle else nullcontext():
            table = datasets.load_dataset(name, config, revision=revision, split=split)
    except Exception as error:  # a dozen kinds: no network, no such id, no such revision
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, ConnectionError) and not obstacle:
            network.failed(f"the Hub did not answer ({reason:.150})")
        raise RowsAbsent(f"task {task}: {which} could not be read from the Hub ({reason:.200}). {way_out}") from error
    if not len(table):
        raise UsageError(f"task {task}: {name} ({config or 'default'}) has no rows in its {split} split.")
    return [row_files.typed(dict(row), schema, f"{name} {split} row {i}") for i, row in enumerate(table, start=1)]


def _cached(name: str) -> bool:
    """Return whether a cache on this machine may hold rows of a data set."""
    from huggingface_hub import constants

    owner, _, last = name.rpartition("/")
    wanted = {_squeezed(f"{owner}___{last}" if owner else last), _squeezed(f"datasets--{name.replace('/', '--')}")}
    caches = (os.getenv("HF_DATASETS_CACHE") or Path(constants.HF_HOME, "datasets"), constants.HF_HUB_CACHE)
    folders = (entry.name for cache in map(Path, caches) if cache.is_dir() for entry in cache.iterdir())
    return any(_squeezed(folder) in wanted for folder in folders)


def _squeezed(text: str) -> str:
    """Return a name in small letters without marks, so that spellings compare: datasets writes MyRows as my_rows."""
    return re.sub(r"[\W_]", "", text).lower()
