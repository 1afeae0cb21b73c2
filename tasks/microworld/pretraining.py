"""Pretraining of the embedded backbones: T5's span corruption on the microworld corpus (Raffel et al. 2020, 3.1.4).

Deviations: 20 % of the words are noise in spans of 2 on average (documents have some twenty words); for three
documents in ten the one span is the document's end, so that the decoder also learns to go on (the S-denoiser of
Tay et al. 2022, UL2, 3.1).
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
from transformers import AutoTokenizer, PreTrainedModel, T5Config, T5ForConditionalGeneration

from tasks.microworld import corpus, vocabulary
from tasks.microworld.backbones import Backbone
from tasks.microworld.shipping import Outcome

NOISE, SPAN, ENDS = 0.2, 2, 0.3
POOL = 16  # batches that are sorted by length together
FIRST_SENTINEL = len(vocabulary.SPECIALS)
EOS = vocabulary.SPECIALS.index("</s>")
Pair = tuple[list[int], list[int]]


def corrupt(ids: list[int], rng: Random) -> Pair:
    """One document's word ids [T] (no end token) -> (encoder ids, decoder ids), both with the end token."""
    if rng.random() < ENDS:
        cut = rng.randrange(max(1, len(ids) - 8), len(ids))
        return [*ids[:cut], FIRST_SENTINEL, EOS], [FIRST_SENTINEL, *ids[cut:], EOS]
    spans = max(1, round(len(ids) * NOISE / SPAN))
    starts = rng.sample(range(len(ids)), min(spans, len(ids)))
    return _replace(ids, [(start, min(len(ids), start + rng.choice((1, 2, 3)))) for start in starts])


def _replace(ids: list[int], spans: list[tuple[int, int]]) -> Pair:
    """Each span (first, past the last) by its sentinel; a span that begins inside an earlier one is left out."""
    source: list[int] = []
    target: list[int] = []
    position, sentinel = 0, FIRST_SENTINEL
    for start, end in sorted(spans):
        if start < position:
            continue
        source += [*ids[position:start], sentinel]
        target += [sentinel, *ids[start:end]]
        position, sentinel = end, sentinel + 1
    return [*source, *ids[position:], EOS], [*target, EOS]


def pad(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Lists of ids -> [B, T]."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


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

    def step(self, k: int) -> dict[str, torch.Tensor]:
        """The batch of step k (from 0): input_ids [B, T], attention_mask [B, T], labels [B, T']."""
        pool, place = divmod(k, POOL)
        slots = list(range(POOL))
        Random(f"{self._seed} pool {pool}").shuffle(slots)
        first = slots[place] * self._batch
        rng = Random(f"{self._seed} step {k}")
        pairs = [corrupt(self._ids[i], rng) for i in self._pool(pool)[first : first + self._batch]]
        source = pad([p[0] for p in pairs], 0)
        return {
            "input_ids": source,
            "attention_mask": (source != 0).long(),
            "labels": pad([p[1] for p in pairs], -100),
        }


def initialise(backbone: Backbone) -> PreTrainedModel:
    """The architecture with seeded random weights."""
    torch.manual_seed(backbone.seed)
    return T5ForConditionalGeneration(T5Config(**backbone.architecture))


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
        loss = model(**data.step(step)).loss
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
