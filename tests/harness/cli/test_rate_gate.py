"""The gate of world 2's backbones takes the rate with the best validation score, and names what has not run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import rate_gate
from harness.store.store import Store

WORDS = [
    "method=full",
    "model=micro2-t5-nano",
    "task=micro2/qa,micro2/summary",
    "recipe.learning_rate=1e-3,3e-3",
    "seed=9",
]


def finished(task: str, rate: float, validation: float, test: float, status: str = "done") -> Any:
    sets = {"validation": {"exact_match": validation}, "test": {"exact_match": test}}
    return SimpleNamespace(
        record={
            "status": status,
            "cell": {"task": {"name": task}, "recipe": {"learning_rate": rate}},
            "task_facts": {"metric": "exact_match", "chance": 1 / 3},
            "scores": {"best": {"sets": sets}},
        }
    )


def test_the_best_validation_score_chooses_and_the_rest_is_unfinished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = [
        finished("micro2/qa", 1e-3, 0.8, 0.7),
        finished("micro2/qa", 3e-3, 0.7, 0.9),
        finished("micro2/summary", 1e-3, 0.9, 0.9, "diverged"),
    ]
    monkeypatch.setattr("harness.store.archive.from_store", lambda store, keys: runs if len(set(keys)) == 4 else [])
    gate = rate_gate.table(Store(tmp_path), WORDS)
    assert gate["tasks"] == {"micro2/qa": {"chance": 0.3333, "validation": 0.8, "score": 0.7, "rate": 1e-3}}
    assert gate["unfinished"] == ["micro2/summary"]
    assert gate["rates"] == "0.001, 0.003"
    assert gate["command"].startswith("deltabench sweep method=full model=micro2-t5-nano")
