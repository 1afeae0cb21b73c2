"""Causal language modelling on the microworld corpus: every document alone, its end token learnt too.

Deviation from LLaMA's pretraining: documents are not packed into one stream, so none is read as another's context.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tasks.microworld import vocabulary
from tasks.microworld.pretraining.curriculum import pad

EOS = vocabulary.SPECIALS.index("</s>")


EMBEDDING_SCALE = 0.3
"""Embeddings start smaller than the rest, so that what the layers add counts from the first step."""


def model(architecture: Mapping[str, Any]) -> PreTrainedModel:
    """Return a random model of this architecture, with small embeddings."""
    made = LlamaForCausalLM(LlamaConfig(**architecture))
    with torch.no_grad():
        made.get_input_embeddings().weight.mul_(EMBEDDING_SCALE)
    return made


def batch(documents: list[list[int]], rng: Random, answers: frozenset[int]) -> dict[str, torch.Tensor]:
    """Return input_ids [B, T], attention_mask [B, T] and labels [B, T] for word ids without end tokens; draw nothing.

    answers: in a document that holds some of these words, they alone are learnt.
    """
    rows = [[*ids, EOS] for ids in documents]
    wanted = [_learnt(ids, answers) for ids in rows]
    inputs, labels = pad(rows, 0), pad(wanted, -100)
    return {"input_ids": inputs, "attention_mask": (pad(rows, -100) != -100).long(), "labels": labels}


def _learnt(ids: list[int], answers: frozenset[int]) -> list[int]:
    if answers.isdisjoint(ids):
        return ids
    return [word if word in answers else -100 for word in ids]
