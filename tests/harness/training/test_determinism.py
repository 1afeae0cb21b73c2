"""One seed sets every generator, their states come back, and what a GPU lacks is told."""

import os
import random
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from harness.training import determinism

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))]


def test_a_seed_sets_every_generator() -> None:
    drawn = []
    for number in (7, 7, 8):
        determinism.seed(number)
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[0], drawn[2], strict=True))


def test_states_come_back() -> None:
    random.gauss(0, 1)  # Python and NumPy keep a second normal number for the next call
    np.random.randn()
    held = determinism.states(CPU)
    first = [*draw(), random.gauss(0, 1)]
    draw()
    determinism.restore(held, CPU)
    assert [*draw(), random.gauss(0, 1)] == first


@pytest.fixture
def settings() -> Iterator[None]:
    name, show = "CUBLAS_WORKSPACE_CONFIG", warnings.showwarning
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, os.environ.get(name)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[:2]
    warnings.showwarning = show
    os.environ.pop(name, None) if before[2] is None else os.environ.update({name: before[2]})


def test_what_torch_has_no_deterministic_algorithm_for_is_told_once(settings: None) -> None:
    lacking = determinism.ask(torch.device("cuda"))
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == determinism.WORKSPACE
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = determinism.listener(lacking, lambda *_: None)
        for _ in range(3):  # one that says so on the CPU, too
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
        warnings.warn("something else", stacklevel=1)
    assert len(lacking) == 1
    assert lacking[0].startswith("put_")
    assert determinism.note(torch.device("cuda"), lacking) == {"not_deterministic": lacking}
    assert "deterministic=true" in determinism.note(torch.device("cuda"), None)["not_deterministic"]


def test_on_the_cpu_there_is_nothing_to_ask() -> None:
    assert determinism.ask(CPU) == []
    assert not torch.are_deterministic_algorithms_enabled()
    assert determinism.note(CPU, None) == {}
