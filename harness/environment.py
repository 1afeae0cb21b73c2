"""Environment variables for processes that are started now. Torch is not imported."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

STOP_AT = "DELTABENCH_STOP_AT"
"""The time, in seconds since the epoch, at which a training saves a checkpoint and stops; set by its worker."""


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that start within the block; afterwards this process has its own values again."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
