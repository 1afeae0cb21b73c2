"""T5's span corruption on the microworld corpus (Raffel et al. 2020, 3.1.4).

Deviations: 20 % of the words are noise in spans of 2 on average (documents have some twenty words); for three
documents in ten the one span is the document's end, so that the decoder also learns to go on (the S-denoiser of
Tay et al. 2022, UL2, 3.1).
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from transformers import PreTrainedModel, T5Config, T5ForConditionalGeneration

from tasks.microworld import vocabulary
from tasks.microworld.pretraining.curriculum import pad

NOISE, SPAN, ENDS = 0.2, 2, 0.3
FIRST_SENTINEL = len(vocabulary.SPECIALS)
EOS = vocabulary.SPECIALS.index("</s>")
Pair = tuple[list[int], list[int]]


def model(architecture: Mapping[str, Any]) -> PreTrainedModel:
    """Return a random model of this architecture."""
    return T5ForConditionalGeneration(T5Config(**architecture))


def batch(documents: list[list[int]], rng: Random, answers: frozenset[int]) -> dict[str, torch.Tensor]:
    """Return input_ids [B, T], attention_mask [B, T] and labels [B, U] for word ids without end tokens.

    answers: as in causal_lm.py; here all masked words are learnt, whatever they are.
    """
    pairs = [corrupt(ids, rng) for ids in documents]
    source = pad([p[0] for p in pairs], 0)
    return {
        "input_ids": source,
        "attention_mask": (source != 0).long(),
        "labels": pad([p[1] for p in pairs], -100),
    }


def corrupt(ids: list[int], rng: Random) -> Pair:
    """Return (encoder ids, decoder ids), both with the end token, for one document's word ids [T] without it."""
    if rng.random() < ENDS:
        cut = rng.randrange(max(1, len(ids) - 8), len(ids))
        return [*ids[:cut], FIRST_SENTINEL, EOS], [FIRST_SENTINEL, *ids[cut:], EOS]
    spans = max(1, round(len(ids) * NOISE / SPAN))
    starts = rng.sample(range(len(ids)), min(spans, len(ids)))
    return _replace(ids, [(start, min(len(ids), start + rng.choice((1, 2, 3)))) for start in starts])


def _replace(ids: list[int], spans: list[tuple[int, int]]) -> Pair:
    """Return the ids with each span (first, past the last) replaced by its sentinel.

    A span that begins inside an earlier one is left out.
    """
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
