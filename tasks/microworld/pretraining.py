"""Pretraining of the embedded backbones on the microworld's corpus; what a step learns is the family's matter.

Step k's batch and noise follow from (seed, k) alone, so a run is the same whether or not it was interrupted.
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from tasks.microworld import continuation, corpus, denoising, vocabulary
from tasks.microworld.backbones import Backbone
from tasks.microworld.shipping import Outcome

FAMILIES = {"t5": denoising, "llama": continuation}
POOL = 16  # batches that are sorted by length together


class Corpus:
    """The tokenised corpus and the batch of every step."""

    def __init__(self, batch: int, seed: int) -> None:
        tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
        self._ids = tokenizer(list(corpus.documents()), add_special_tokens=False)["input_ids"]
        self._batch, self._seed = batch, seed
        self._epoch, self._order = -1, list[int]()

    def _pool(self, index: int) -> list[int]:
        per_epoch = len(self._ids) // (self._batch * POOL)
        epoch, at = divmod(index, per_epoch)
        if epoch != self._epoch:
            self._order = list(range(len(self._ids)))
            Random(f"{self._seed} epoch {epoch}").shuffle(self._order)
            self._epoch = epoch
        size = self._batch * POOL
        return sorted(self._order[at * size : (at + 1) * size], key=lambda i: len(self._ids[i]))

    def step(self, k: int) -> tuple[list[list[int]], Random]:
        """The documents of step k (from 0) as word ids, and the step's own random numbers."""
        pool, place = divmod(k, POOL)
        slots = list(range(POOL))
        Random(f"{self._seed} pool {pool}").shuffle(slots)
        first = slots[place] * self._batch
        rows = self._pool(pool)[first : first + self._batch]
        return [self._ids[i] for i in rows], Random(f"{self._seed} step {k}")


def initialise(backbone: Backbone) -> PreTrainedModel:
    """The architecture with seeded random weights."""
    torch.manual_seed(backbone.seed)
    return FAMILIES[backbone.family].model(backbone.architecture)


def _optimiser(backbone: Backbone, model: nn.Module) -> torch.optim.Optimizer:
    if backbone.optimizer == "adafactor":
        return torch.optim.Adafactor(model.parameters(), lr=backbone.learning_rate, weight_decay=0.0)
    return torch.optim.AdamW(model.parameters(), lr=backbone.learning_rate, weight_decay=0.01, fused=True)


def rate(step: int, backbone: Backbone) -> float:
    """Linear warm-up over 3 % of the steps, then half a cosine down to 2 % of the peak."""
    warm = max(1, round(0.03 * backbone.steps))
    if step < warm:
        return backbone.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, backbone.steps - warm)
    return backbone.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def pretrain(
    backbone: Backbone, folder: Path, progress: Callable[[int, float], None], every: int = 500
) -> tuple[PreTrainedModel, Outcome]:
    """Train from scratch, or go on from `folder/state.pt`. progress is called with (step, loss) every 50 steps."""
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    model = initialise(backbone).train()
    optimiser = _optimiser(backbone, model)
    data = Corpus(backbone.batch, backbone.seed)
    saved, start, curve, seconds = folder / "state.pt", 0, list[tuple[int, float]](), 0.0
    recipe = json.dumps(asdict(backbone), sort_keys=True)
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state["recipe"] == recipe:
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            start, curve, seconds = state["step"], [tuple(p) for p in state["curve"]], state["seconds"]
    began, running = time.perf_counter(), 0.0
    for step in range(start, backbone.steps):
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
        if done % every == 0 or done == backbone.steps:
            elapsed = seconds + time.perf_counter() - began
            state = {"recipe": recipe, "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": done, "curve": curve, "seconds": elapsed}  # fmt: skip
            torch.save(state, folder / "state.tmp")
            os.replace(folder / "state.tmp", saved)
    return model, Outcome(curve, seconds + time.perf_counter() - began)
