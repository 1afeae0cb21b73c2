"""For all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell without job control starts what runs in the background deaf to Ctrl-C, and so would be every child here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _imports_stay() -> Iterator[None]:
    """A test that changes where Python looks for modules changes what the processes of later tests import."""
    before = _import_settings()
    yield
    assert _import_settings() == before


def _import_settings() -> tuple[Path, dict[str, str]]:
    return Path.cwd(), {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}


pytest_plugins = ("tests.harness.made_runs", "tests.harness.tiny_models")
