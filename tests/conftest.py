"""For all tests."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.processes import forkserver, remembered_answers

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


LOADED = forkserver.preload(("llama", "t5"))
"""The modules of the forkserver that all tests of a process share."""


@pytest.fixture(autouse=True, scope="session")
def _one_server() -> Iterator[None]:
    """The test that starts the server starts it for all later ones. Without torch, each later child would import it."""
    start = forkserver.start

    @wraps(start)
    def start_loaded(target: Callable[..., None], arguments: tuple[Any, ...], modules: Sequence[str]) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("OMP_NUM_THREADS", raising=False)  # the server must set its own number
            return start(target, arguments, tuple(dict.fromkeys((*LOADED, *modules))))

    forkserver.start = start_loaded
    yield
    forkserver.start = start


@pytest.fixture(autouse=True, scope="session")
def _no_answer_is_remembered() -> Iterator[None]:
    """What a test's own code answers must not reach later tests, nor the commands of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered_answers, "lasts", lambda cell, files: False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _absent_devices_are_not_seeded() -> Iterator[None]:
    """For each kind of device that torch knows and that is not here, `torch.manual_seed` would format a stack."""
    with pytest.MonkeyPatch.context() as patch:
        for device in (torch.cuda, torch.xpu, torch.mtia):
            if not device.is_available():
                patch.setattr(device, "manual_seed_all", lambda seed: None)
        yield


pytest_plugins = ("tests.harness.made_runs", "tests.harness.tiny_models")
