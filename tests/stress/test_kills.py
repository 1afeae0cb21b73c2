"""Two hundred events; `kills.py` says what they are. An hour: `pytest -m slow -s tests/stress`."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    path = Path(__file__).with_name("kills.py")
    spec = importlib.util.spec_from_file_location("kills", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("words", "count"), [("STUBS", 160), ("NANO", 40)])
def test_nothing_is_lost_and_nothing_done_twice(kills: ModuleType, tmp_path: Path, words: str, count: int) -> None:
    figures = kills.Stress(tmp_path, getattr(kills, words), random.Random(count)).run(count)
    print(figures.told())
    assert figures.events.total() == count
    assert figures.survivors > 0
    assert figures.faults() == 0, figures.told()
