"""Rebuild an embedded backbone from scratch.

deltabench pretrain model=micro-t5-nano [out=DIR]     deterministic; the same command resumes
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError, near
from harness.paths import located

if TYPE_CHECKING:
    from tasks.microworld.pretraining.backbones import Backbone
    from tasks.microworld2.pretraining.backbone_sizes import Size

Progressed = Callable[[int, float], None]
Build = Callable[[str, Path, Progressed], float]
"""Pretrain (name, folder, progress), write the files there, and return the last loss."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench pretrain`."""
    parser.add_argument(
        "words", nargs="+", metavar="key=value", help="model=NAME, out=DIR (default: build/pretrain/NAME)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench pretrain` and return its exit code."""
    name, folder = _choices(arguments.words)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the order of additions, so the weights, stay the same
    from tasks.microworld.pretraining.backbones import BACKBONES
    from tasks.microworld2.pretraining.backbone_sizes import SIZES

    if name not in (known := {**BACKBONES, **SIZES}):
        raise UsageError(f"model={name} is not an embedded backbone, so it cannot be rebuilt.{near(name, known)}")
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.set_num_threads(1)
    steps, build = _second_world(SIZES[name]) if name in SIZES else _first_world(BACKBONES[name])
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        shown = bar.add_task(name, total=steps)

        def progress(step: int, loss: float) -> None:
            """Show the step and the loss."""
            bar.update(shown, completed=step, description=f"{name} loss {loss:.3f}")
            if not bar.console.is_terminal and step % 500 == 0:
                print(f"{name}: step {step}/{steps}, loss {loss:.4f}", flush=True)

        loss = build(name, folder, progress)
    print(f"{name}: loss {loss:.4f} after {steps} steps; written to {folder}")
    print(f"Use it with: deltabench run model={name} model.path={folder}")
    return 0


def _first_world(backbone: "Backbone") -> tuple[int, Build]:
    """Return the steps of a backbone of world 1, and what pretrains and writes it."""
    from tasks.microworld.pretraining import curriculum, loss_by_kind, pretrain, shipping

    def build(name: str, folder: Path, progress: Progressed) -> float:
        model, outcome = pretrain.pretrain(backbone, folder, progress)
        shipping.ship(name, backbone, model, outcome, loss_by_kind.by_kind(name, model), folder)
        return outcome.curve[-1][1]

    return curriculum.lesson_starts(backbone)[-1], build


def _second_world(size: "Size") -> tuple[int, Build]:
    """Return the steps of a backbone of world 2, and what pretrains and writes it."""
    from tasks.microworld2.pretraining import pretraining_run, weight_cards

    def build(name: str, folder: Path, progress: Progressed) -> float:
        model, outcome = pretraining_run.pretrain(size, folder, progress)
        weight_cards.ship(name, size, model, outcome, folder)
        return outcome.curve[-1][1]

    return size.steps, build


def _choices(words: list[str]) -> tuple[str, Path]:
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    for key in given:
        if key not in ("model", "out"):
            raise UsageError(f"pretrain takes model=NAME and out=DIR, not {key!r}.{near(key, ('model', 'out'))}")
    if not given.get("model"):
        raise UsageError("pretrain needs a model, for example: deltabench pretrain model=micro-t5-nano")
    name = given["model"]
    return name, located(given.get("out") or f"build/pretrain/{name}")
