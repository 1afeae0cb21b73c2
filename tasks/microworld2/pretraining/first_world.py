"""The start of a backbone from the shipped weights of world 1: the same architecture, its words found by name."""

import json

import torch
from safetensors.torch import load_file
from torch import nn

from tasks.microworld import vocabulary
from tasks.microworld.pretraining.shipping import WEIGHTS
from tasks.microworld2 import word_ids


def adopt(name: str, model: nn.Module) -> None:
    """Fill `model` from the backbone `name` of world 1. A word that it does not know starts as the mean of all words."""
    known, rows = load_file(WEIGHTS / name / "model.safetensors"), _rows()
    for key, into in model.named_parameters():
        weights = known[key].float()
        if weights.shape != into.shape:
            words = weights[[row for row in rows if row is not None]].mean(dim=0)
            weights = torch.stack([words if row is None else weights[row] for row in rows])
        with torch.no_grad():
            into.copy_(weights)


def _rows() -> list[int | None]:
    """Return for each row of an embedding of world 2 the row of the same word in world 1."""
    theirs, ours = (
        json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        for folder in (vocabulary.PATH, word_ids.PATH)
    )
    rows: list[int | None] = [None] * word_ids.ROWS
    for word, row in ours.items():
        rows[row] = theirs.get(word)
    return rows
