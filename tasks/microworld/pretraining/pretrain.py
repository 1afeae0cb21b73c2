"""Pretraining of the embedded backbones on the microworld's corpus; what a step learns is the family's matter.

Step k's batch and noise follow from (seed, k) alone, so a run is the same whether or not it was interrupted.
"""

import json
import math
import os
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from tasks.microworld.pretraining import causal_lm, growth, span_corruption
from tasks.microworld.pretraining.backbones import Backbone
from tasks.microworld.pretraining.curriculum import Curriculum, lesson_starts
from tasks.microworld.pretraining.shipping import Outcome

FAMILIES = {"t5": span_corruption, "llama": causal_lm}


def initialise(backbone: Backbone) -> PreTrainedModel:
    """Return the architecture with seeded random weights, or with those that it is grown from."""
    torch.manual_seed(backbone.seed)
    model = FAMILIES[backbone.family].model(backbone.architecture)
    if backbone.grown_from:
        growth.expand(backbone.grown_from, model)
    return model


def _optimiser(backbone: Backbone, model: nn.Module) -> torch.optim.Optimizer:
    if backbone.optimizer == "adafactor":
        return torch.optim.Adafactor(model.parameters(), lr=backbone.learning_rate, weight_decay=0.0)
    betas = (0.9, backbone.beta2)
    return torch.optim.AdamW(model.parameters(), backbone.learning_rate, betas, weight_decay=0.01, fused=True)


def rate(step: int, backbone: Backbone) -> float:
    """Return the learning rate of a step: linear warm-up over 3 % of the steps, then half a cosine down to 2 % of the
    peak.

    It starts once more for each of the lessons.
    """
    ends = lesson_starts(backbone)
    stage = bisect_right(ends, step)
    first = ends[stage - 1] if stage else 0
    return backbone.learning_rate * _wave(step - first, ends[stage] - first)


def _wave(step: int, steps: int) -> float:
    warm = max(1, round(0.03 * steps))
    if step < warm:
        return (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))


def pretrain(
    backbone: Backbone, folder: Path, progress: Callable[[int, float], None], every: int = 500
) -> tuple[PreTrainedModel, Outcome]:
    """Train from the start, or resume from `folder/state.pt`. progress is called with (step, loss) every 50 steps."""
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    model = initialise(backbone).train()
    optimiser = _optimiser(backbone, model)
    data = Curriculum(backbone)
    saved, start, curve, seconds = folder / "state.pt", 0, list[tuple[int, float]](), 0.0
    recipe = json.dumps(asdict(backbone), sort_keys=True)
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state["recipe"] == recipe:
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            start, curve, seconds = state["step"], [tuple(p) for p in state["curve"]], state["seconds"]
    began, running = time.perf_counter(), 0.0
    steps = lesson_starts(backbone)[-1]
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, backbone)
        loss = model(**FAMILIES[backbone.family].batch(*data.step(step))).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        running += loss.item()
        done = step + 1
        if done % 50 == 0:
            curve.append((done, running / 50))
            progress(done, running / 50)
            running = 0.0
        if done % every == 0 or done == steps:
            elapsed = seconds + time.perf_counter() - began
            state = {"recipe": recipe, "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": done, "curve": curve, "seconds": elapsed}  # fmt: skip
            torch.save(state, folder / "state.tmp")
            os.replace(folder / "state.tmp", saved)
    return model, Outcome(curve, seconds + time.perf_counter() - began)
