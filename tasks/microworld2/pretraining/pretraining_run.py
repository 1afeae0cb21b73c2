"""Pretraining of the backbones of world 2: deterministic on one thread, and resumable."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from torch import nn
from transformers import PreTrainedModel

from tasks.microworld2 import corpus
from tasks.microworld2.pretraining import first_world, step_losses
from tasks.microworld2.pretraining.backbone_sizes import Size
from tasks.microworld2.pretraining.reading_plan import Reading, ids_of


@dataclass(frozen=True)
class Outcome:
    """The result of pretraining: (step, loss) pairs, seconds, and the loss on held-out text by kind of document."""

    curve: list[tuple[int, float]]
    seconds: float
    held_out: dict[str, float]


def initialise(size: Size) -> PreTrainedModel:
    """Return the architecture with seeded random weights, or with those that it starts from."""
    torch.manual_seed(size.seed)
    model = step_losses.FAMILIES[size.family][0](size.architecture)
    if size.starts_from:
        first_world.adopt(size.starts_from, model)
    return model


def rate(step: int, size: Size) -> float:
    """Return the learning rate of a step: linear warm-up over 3 % of the horizon, half a cosine, and at last a line."""
    warm, last = round(0.03 * size.horizon), [*size.stages.values()][-1]
    if step < warm:
        return size.learning_rate * (step + 1) / warm
    share = (min(step, size.steps - last) - warm) / (size.horizon - warm)
    high = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))
    return size.learning_rate * (high + (0.02 - high) * max(0, step - (size.steps - last)) / last)


def held_out_losses(size: Size, model: PreTrainedModel) -> dict[str, float]:
    """Return kind of document -> mean loss on its held-out documents, with noise that is always the same."""
    batch, losses = step_losses.FAMILIES[size.family][1], dict[str, float]()
    model.eval()
    with torch.no_grad():
        for kind, texts in corpus.held_out_documents().items():
            losses[kind] = float(step_losses.loss(model, batch(ids_of(texts), Random(f"held out {kind}"))))
    model.train()
    return losses


def pretrain(
    size: Size, folder: Path, progress: Callable[[int, float], None], every: int = 500
) -> tuple[PreTrainedModel, Outcome]:
    """Train from the start, or resume from `folder/state.pt`. progress is called with (step, loss) every 50 steps."""
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    model = initialise(size).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), size.learning_rate, (0.9, size.beta2), weight_decay=0.01, fused=True
    )
    batch, reading = step_losses.FAMILIES[size.family][1], Reading(size)
    saved, recipe = folder / "state.pt", json.dumps(asdict(size), sort_keys=True)
    start, curve, seconds = 0, list[tuple[int, float]](), 0.0
    if saved.exists() and (state := torch.load(saved, weights_only=True))["recipe"] == recipe:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        start, curve, seconds = state["step"], [tuple(point) for point in state["curve"]], state["seconds"]
    began, running = time.perf_counter(), 0.0
    for step in range(start, size.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, size)
        read = reading.step(step)
        running += step_losses.backward(model, batch(read.documents, read.random, read.dense), size.parts)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        done = step + 1
        if done % 50 == 0:
            curve.append((done, running / 50))
            progress(done, running / 50)
            running = 0.0
        if done % every == 0 or done == size.steps:
            state = {"recipe": recipe, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": done,
                     "curve": curve, "seconds": seconds + time.perf_counter() - began}  # fmt: skip
            torch.save(state, folder / "state.tmp")
            os.replace(folder / "state.tmp", saved)
    return model, Outcome(curve, seconds + time.perf_counter() - began, held_out_losses(size, model))
