"""Time per cell with its evaluations, and per grid: ours, and one Trainer script per cell.

Ours is an attempt as a sweep makes it: lease, process, loading, training, evaluation, record, fsync. A grid is one
`deltabench sweep`, from its start to its end, beside the scripts of its cells one after the other. The scripts get
tokenised rows. Their answers are generated, as is usual for such a script, and ours are chosen by likelihood. So
evaluations differ in kind, and the seconds without them are stated too. The training losses are compared.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from harness import assets
from harness.config.schema import Cell, Runtime
from harness.execution import worker
from harness.measurement.turns import in_turn, ratio, spread
from harness.models import weight_files
from harness.processes import forkserver
from harness.store import identity
from harness.store.store import Store
from tests.benchmarks.speed import ours as our_side
from tests.benchmarks.speed import same_start
from tests.benchmarks.speed.shapes import SHAPES, Shape

SIDES = ("ours", "trainer")
SCRIPT = "tests.benchmarks.speed.trainer_script"
EVALUATION_ROWS = 64
"""The rows of a batch in which the script evaluates. Ours bounds a batch by its tokens."""
CLOSE = 1e-3
"""The largest relative difference of the mean losses until the first evaluation."""
Figures = dict[str, float]


def measure(shape: str, method: str, alternations: int, quick: bool = False) -> dict[str, Any]:
    """Return the seconds of a cell by side, with their parts, and their ratios."""
    steps, every = (4, 2) if quick else (200, 25)
    cell = SHAPES[shape].cell(method, steps=steps, evaluate_every=every)
    found: dict[str, list[Figures]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "script"
        prepare(cell, script)
        modules = forkserver.preload({cell.model.family})
        forkserver.call("time:time", (), modules)  # the server's start is paid once per worker process
        for alternation in range(alternations):
            for side in in_turn(SIDES, alternation):
                if side == "trainer":
                    found[side].append(run_script(script))
                else:
                    found[side].append(_attempt(cell, Path(place) / f"store-{alternation}", modules))
    losses = {side: figures[0]["first_loss"] for side, figures in found.items()}
    if refused := different(losses):
        return {"losses": losses, "refused": refused}
    parts = {side: [name for name in rows[0] if name != "first_loss"] for side, rows in found.items()}
    seconds = {side: {name: spread([row[name] for row in found[side]]) for name in parts[side]} for side in SIDES}
    walls = {side: [row["total"] for row in found[side]] for side in SIDES}
    without = {side: [row["total"] - row["evaluation"] for row in found[side]] for side in SIDES}
    return {
        "steps": cell.recipe.steps, "losses": losses, "seconds": seconds,
        "ratio": {"trainer": ratio(walls["ours"], walls["trainer"])},
        "ratio_without_evaluation": {"trainer": ratio(without["ours"], without["trainer"])},
    }  # fmt: skip


def different(losses: Mapping[str, float]) -> str:
    """Return why the two sides do not compute the same, judged by their mean losses until the first evaluation."""
    off = abs(losses["ours"] - losses["trainer"]) / abs(losses["ours"])
    return "" if off <= CLOSE else f"the mean losses until the first evaluation differ by {off:.2g}, relatively"


def _attempt(cell: Cell, place: Path, modules: tuple[str, ...]) -> Figures:
    """Run a cell as a sweep's worker does; return its seconds and the mean loss until its first evaluation."""
    store = Store(place)
    store.register(cell)
    setup = worker.Setup(Runtime(store=str(place), device="cpu"), modules)
    started = time.perf_counter()
    status = worker.attempt(store, cell, setup)
    total = time.perf_counter() - started
    record = store.read(identity.key(cell)) or {}
    assert status == "done", record["error"]
    clock = record["time"]
    around = total - clock["train_s"] - clock["evaluate_s"]
    return {
        "total": total, "training": clock["train_s"], "evaluation": clock["evaluate_s"], "around": around,
        "first_loss": store.curve(identity.key(cell))[1]["train_loss"],
    }  # fmt: skip


def prepare(cell: Cell, folder: Path) -> None:
    """Write what the script of a cell needs: its plan, its rows, and our first values of its trainable parameters."""
    folder.mkdir()
    mine = our_side.build(cell)
    plan = mine.plan()
    other = plan.build(mine.plain)
    same_start.copy(mine, plan, other)
    start = {} if plan.method == "full" else {n: p.detach() for n, p in other.named_parameters() if p.requires_grad}
    splits = {name: mine.rows(name) for name in ("train", "validation", *mine.task.splits.tests)}
    torch.save(
        {"start": start, "splits": {name: [one.inputs, one.lengths, one.labels] for name, one in splits.items()}},
        folder / "tensors.pt",
    )
    given = {
        "weights": str(weight_files.folder(cell.model)), "plan": asdict(plan), "recipe": asdict(mine.recipe),
        "every": cell.recipe.evaluate_every, "evaluation_rows": EVALUATION_ROWS, "order": mine.order,
    }  # fmt: skip
    (folder / "cell.json").write_text(json.dumps(given))


def run_script(folder: Path) -> Figures:
    """Run the Trainer's script in a process of its own; return its seconds and the mean loss until its evaluation."""
    started = time.perf_counter()
    words = [sys.executable, "-m", SCRIPT, str(folder), str(time.time())]
    done = subprocess.run(words, cwd=assets.root(), capture_output=True, text=True, check=False)
    total = time.perf_counter() - started
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    every = json.loads((folder / "cell.json").read_text())["every"]
    losses, seconds = told["losses"][:every], told["seconds"]
    before, evaluation = seconds["before"], seconds["evaluation"]
    return {
        "total": total, "training": seconds["total"] - before - evaluation, "evaluation": evaluation,
        "around": total - seconds["total"] + before, "first_loss": sum(losses) / len(losses),
    }  # fmt: skip


def grid(shape: str, method: str, alternations: int, quick: bool = False) -> dict[str, Any]:
    """Return the figures of a ranking grid: seconds by side and their ratio.

    It ranks some methods that both sides have on two tasks with three seeds, in cells of 60 steps. method: unused.
    """
    chosen = {"method": ["full", "lora", "prompt"], "task": ["micro/inference", "micro/sentiment-goods"]}
    chosen = {**chosen, "seed": [0, 1, 2], "steps": 60, "every": 20}
    if quick:
        chosen = {"method": ["lora"], "task": ["micro/sentiment-goods"], "seed": [0, 1], "steps": 4, "every": 2}
    own = SHAPES[shape]
    walls: dict[str, list[float]] = {side: [] for side in SIDES}
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        cells = cells_of(own, chosen)
        scripts = [Path(place) / f"script-{number}" for number in range(len(cells))]
        for cell, script in zip(cells, scripts, strict=True):
            prepare(cell, script)
        for alternation in range(alternations):
            for side in in_turn(SIDES, alternation):
                started = time.perf_counter()
                if side == "ours":
                    store = Path(place) / f"store-{alternation}"
                    _sweep(own, chosen, store)
                else:
                    losses["trainer"] = [run_script(script)["first_loss"] for script in scripts]
                walls[side].append(time.perf_counter() - started)
        curves = [Store(store).curve(identity.key(cell)) for cell in cells]
    losses["ours"] = [curve[1]["train_loss"] for curve in curves]
    pairs = [{"ours": mine, "trainer": other} for mine, other in zip(losses["ours"], losses["trainer"], strict=True)]
    if refused := next(filter(None, map(different, pairs)), ""):
        return {"losses": losses, "refused": refused}
    return {
        "cells": len(cells), "steps": chosen["steps"], "losses": losses,
        "seconds": {side: {"total": spread(walls[side])} for side in SIDES},
        "ratio": {"trainer": ratio(walls["ours"], walls["trainer"])},
    }  # fmt: skip


def cells_of(own: Shape, chosen: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of a grid. chosen: methods, tasks and seeds, and the steps in all and between evaluations."""
    made = []
    for task in chosen["task"]:
        there = Shape(own.name, {**own.words, "task": task}, own.methods, own.steps, own.rows)
        for method in chosen["method"]:
            cell = there.cell(method, steps=chosen["steps"], evaluate_every=chosen["every"])
            made += [cell_of_seed(cell, seed) for seed in chosen["seed"]]
    return made


def cell_of_seed(cell: Cell, seed: int) -> Cell:
    """Return the cell with another seed."""
    return identity.from_json({**identity.to_json(cell), "seed": seed})


def _sweep(own: Shape, chosen: Mapping[str, Any], store: Path) -> None:
    """Run the grid by the command line."""
    axes = {name: ",".join(map(str, chosen[name])) for name in ("method", "task", "seed")}
    words = {**own.words, **own.recipe(steps=chosen["steps"], evaluate_every=chosen["every"]), **axes}
    listed = [f"{name}={value}" for name, value in words.items()]
    run(["sweep", *listed, f"store={store}", "launcher=basic", "device=cpu"])


def run(words: Sequence[str]) -> str:
    """Run one verb of the command line, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words], cwd=assets.root(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout
