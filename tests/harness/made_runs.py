"""Synthetic records with realistic noise: known truth for the analysis. Never shown as results."""

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.experiments.grids.grid import expand
from harness.store import fingerprint, identity
from harness.store.archive import Run
from harness.store.store import Store

QUALITY = {
    "none": 0.0,
    "full": 1.0,
    "lora": 0.92,
    "adapter": 0.9,
    "prefix": 0.7,
    "prompt": 0.3,
    "bitfit": 0.8,
}
SPEED = {"full": 20, "lora": 35, "adapter": 35, "prefix": 70, "prompt": 120, "bitfit": 50}
SIZES = {
    "none": 0,
    "full": 183936,
    "lora": 12288,
    "adapter": 14000,
    "prefix": 20480,
    "prompt": 640,
    "bitfit": 1800,
}
CHANCE = {"sentiment": 0.5, "inference": 0.34, "qa": 0.25}
TASKS = ("micro/sentiment", "micro/inference", "micro/qa")


def run(
    method: str,
    task: str,
    seed: int,
    model: str = "micro-t5-nano",
    learning_rate: float = 1e-3,
    best_rate: float = 1e-3,
    fields: dict[str, Any] | None = None,
    noise: float = 0.015,
    status: str = "done",
    steps: int = 200,
    quality: dict[str, float] | None = None,
    beside: int = 2,
) -> Run:
    """One record. Its expected score: chance + quality * 0.45, less for a rate away from `best_rate`."""
    name = f"{model}|{task}|{method}|{fields}|{learning_rate}|{seed}"
    draw = random.Random(name)
    chance = next((value for key, value in CHANCE.items() if key in task), 0.5)
    worth = (quality or {}).get(method, QUALITY.get(method, 0.6))
    lost = 0.1 * abs(math.log10(learning_rate / best_rate)) if method != "none" else 0.0
    final = chance + 0.45 * max(0.0, worth - lost)
    shift = draw.gauss(0, noise) if worth else 0.0
    points = _curve(method, chance, final + shift, steps, draw, noise / 3 if worth else 0.0)
    best = max(points, key=lambda point: point["scores"]["validation"])
    parameters = {"delta": SIZES.get(method, 5000), "head": 0, "backbone": 183936}
    record = {
        "schema": 1,
        "key": hashlib.sha256(name.encode()).hexdigest(),
        "status": status,
        "attempt": 1,
        "cell": {
            "method": {"name": method, **(fields or {})},
            "model": {"name": model, "source": "embedded", "revision": model},
            "task": {"name": task, "digest": task, "train_size": None},
            "objective": "seq2seq",
            "recipe": {"name": "micro-t5", "learning_rate": learning_rate, "steps": steps, "batch_size": 32},
            "seed": seed,
            "parents": [],
        },
        "scores": {"best": _point(best), "last": _point(points[-1])} if status == "done" else {},
        "task_facts": {
            "metric": "accuracy",
            "category": "c",
            "chance": chance,
            "majority": chance,
            "tests": ["test"],
            "label_words": [],
        },
        "parameters": parameters,
        "time": {
            "train_s": 5.0 + draw.random(),
            "evaluate_s": 1.0,
            "load_s": 0.3,
            "prepare_s": 0.2,
            "cells_beside": beside,
        },
        "error": None if status == "done" else {"type": "Diverged", "message": "loss is not finite"},
    }
    record["provenance"] = {"fingerprint": fingerprint.fingerprint(fingerprint.Subject.of_record(record))}
    return Run(record, tuple(points) if status == "done" else ())


def _curve(
    method: str, chance: float, final: float, steps: int, draw: random.Random, noise: float
) -> list[dict[str, Any]]:
    pace = SPEED.get(method, 50)
    points = []
    for step in range(0, steps + 1, 25):
        grown = chance + (final - chance) * (1 - math.exp(-step / pace)) / (1 - math.exp(-steps / pace))
        scores = {part: min(1.0, max(0.0, grown + draw.gauss(0, noise))) for part in ("validation", "test")}
        points.append({"step": step, "seconds": step * 0.025 * (1 + 0.1 * draw.random()), "scores": scores})
    return points


def _point(point: dict[str, Any]) -> dict[str, Any]:
    sets = {part: {"accuracy": score, "n": 500} for part, score in point["scores"].items()}
    return {"step": point["step"], "sets": sets}


def grid(
    methods: Sequence[str] = ("none", "full", "lora", "adapter", "prefix", "prompt"),
    tasks: Sequence[str] = TASKS,
    seeds: Sequence[int] = (0, 1, 2),
    models: Sequence[str] = ("micro-t5-nano",),
    rates: Sequence[float] = (1e-3,),
    **options: Any,
) -> list[Run]:
    """Records of a product of choices."""
    product = itertools.product(models, tasks, methods, rates, seeds)
    return [
        run(method, task, seed, model=model, learning_rate=rate, **options)
        for model, task, method, rate, seed in product
    ]


@pytest.fixture
def make_run() -> Callable[..., Run]:
    return run


@pytest.fixture
def make_grid() -> Callable[..., list[Run]]:
    return grid


def finish(store: Store, task: str, seed: int) -> str:
    """Put a finished cell with made-up scores into a store; return its key."""
    [cell] = expand([{"task": task, "model": "micro-t5-nano", "method": "lora", "seed": seed}])
    made, key, folder = run("lora", task, seed), identity.key(cell), store.begin(cell)
    for row in made.curve:
        folder.append("curve.jsonl", row)
    about = {"key": key, "cell": identity.to_json(cell), "provenance": {"fingerprint": "today"}, "notes": {}}
    about["time"] = {**made.record["time"], "step_ms": {"median": 20.0}}
    about["memory"] = {"train": {"live_bytes": 5_000_000, "process_bytes": 400_000_000}}
    store.finish(key, folder, {**made.record, **about})
    return key
