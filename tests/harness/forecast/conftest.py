"""Cells to forecast, and forecasts in this process instead of a child."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from harness.config.schema import Cell
from harness.experiments.grids import grid
from harness.processes import forkserver


@pytest.fixture(scope="session")
def cell() -> Callable[..., Cell]:
    def make(method: str = "lora", model: str = "micro-t5-nano", **fields: Any) -> Cell:
        block = {"method": method, "model": model, "model.weights": "random", "task": "micro/sentiment"}
        (made,) = grid.expand([{**block, **{name.replace("__", "."): value for name, value in fields.items()}}])
        return made

    return make


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child costs seconds to start; what it is asked is the same here."""

    def call(target: str, arguments: tuple[Any, ...], modules: Any) -> Any:
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)(*arguments)

    def call_in_parts(target: str, items: Any, modules: Any) -> Any:
        return call(target, (items,), modules)

    monkeypatch.setattr(forkserver, "call", call)
    monkeypatch.setattr(forkserver, "call_in_parts", call_in_parts)
