"""A linear in whatever layout a backbone stores it: rows of a fused one, transposed, or packed in few bits."""

import importlib
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


def dense(linear: "nn.Module | Part") -> torch.Tensor:
    """Return the linear's weight: [d_out, d_in]; a copy where it is stored in four or eight bits (quantisation.py)."""
    module: Any = linear
    weight: torch.Tensor = module.weight
    if (packed := getattr(weight, "quant_state", None)) is not None:
        made: torch.Tensor = importlib.import_module("bitsandbytes").functional.dequantize_4bit(weight.data, packed)
        return made
    if weight.dtype != torch.int8:
        return weight
    largest = getattr(weight, "SCB", None)  # [d_out], of each row; the layer takes it when it first runs
    return weight.data * ((module.state.SCB if largest is None else largest) / 127).unsqueeze(1)


class Part:
    """A linear that has no nn.Linear of its own: rows of a fused one, and/or a transposed one (Conv1D).

    It has what deltas need of a host. module: the module that holds the weight. weight: [d_out, d_in], a view, so that
    changing it in place changes the backbone (of a quantised one: a copy). label: "q", "k" or "v" for rows of a
    fused linear, else "".
    """

    def __init__(self, module: nn.Module, rows: slice | None = None, label: str = "") -> None:
        self.module, self.label = module, label
        self.transposed = isinstance(module, Conv1D)
        if isinstance(module, nn.Linear):  # a packed weight has another shape
            full, self.in_features = module.out_features, module.in_features
        else:
            self.in_features, full = module.get_parameter("weight").shape
        self.rows = rows or slice(0, full)
        self.out_features = self.rows.stop - self.rows.start

    @property
    def weight(self) -> torch.Tensor:
        """Return the weight [d_out, d_in]: a view, or a copy of a quantised linear."""
        weight = dense(self.module)
        return (weight.T if self.transposed else weight)[self.rows]

    @property
    def bias(self) -> torch.Tensor | None:
        """Return the bias [d_out] as a view; None where the linear has none."""
        bias = getattr(self.module, "bias", None)
        return None if bias is None else bias[self.rows]

    def get_parameter(self, name: str) -> torch.Tensor:
        """Return the view of "weight": [d_out, d_in] or "bias": [d_out], as nn.Module.get_parameter names them."""
        parameter = {"weight": self.weight, "bias": self.bias}[name]
        if parameter is None:
            raise AttributeError(f"this part has no {name}")
        return parameter


Linear = nn.Linear | Part
