"""Causal language modelling on the microworld corpus: every document alone, its end token learnt too.

Deviation from LLaMA's pretraining: documents are not packed into one stream, so none is read as another's context.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tasks.microworld import vocabulary
from tasks.microworld.padding import pad

EOS = vocabulary.SPECIALS.index("</s>")


def model(architecture: Mapping[str, Any]) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**architecture))


def batch(documents: list[list[int]], rng: Random) -> dict[str, torch.Tensor]:
    """Word ids without end tokens -> input_ids [B, T], attention_mask [B, T], labels [B, T]. Draws nothing."""
    rows = [[*ids, EOS] for ids in documents]
    inputs, labels = pad(rows, 0), pad(rows, -100)
    return {"input_ids": inputs, "attention_mask": (labels != -100).long(), "labels": labels}
