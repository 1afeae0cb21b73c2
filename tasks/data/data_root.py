"""The data root: one folder with a folder of rows per data set, named by DELTABENCH_DATA or task.data_dir."""

import os
from pathlib import Path

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.paths import located
from tasks.base import TaskRow
from tasks.data import split_files

VARIABLE = "DELTABENCH_DATA"


def root() -> Path | None:
    """Return the folder that the variable names. Raise UsageError where it is none."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    path = located(named)
    if not path.is_dir():
        raise UsageError(f"{VARIABLE}={named}: no such folder; it must hold a folder of rows per data set.")
    return path


def place(row: TaskRow, config: TaskConfig) -> str | None:
    """Return the task's own folder, or None, which stands for the Hub.

    It is the folder that task.data_dir names, or the task's folder within that or within the data root.
    """
    if not row.folder:
        return config.data_dir
    if config.data_dir is None:
        above = root()
        return str(above / row.folder) if above and (above / row.folder).is_dir() else None
    above = located(config.data_dir)
    within = above / row.folder
    here = any((above / pair.partition("=")[2]).exists() for pair in config.files or ())
    return str(within) if within.is_dir() and not here else config.data_dir


def offline(row: TaskRow) -> Path | None:
    """Return the folder in the data root that holds all the files the task needs; None where there is none."""
    above = root()
    if above is None or not row.folder:
        return None
    folder = above / row.folder
    try:
        there = all(split_files.has(folder, names[0], names) or (folder / names[0]).is_dir() for names in row.files)
    except UsageError:  # reading the files raises what is wrong with them
        there = False
    return folder if folder.is_dir() and there else None
