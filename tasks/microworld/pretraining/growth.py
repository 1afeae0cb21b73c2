"""A deeper backbone that starts as a shallower one: block expansion (LLaMA Pro, Wu et al. 2024, section 3.2).

Behind every block of the small model stand copies of it whose output projections are zero, so they add nothing to the
residual stream and the grown model computes what the small one does. Deviation: afterwards all blocks learn, not the
new ones alone; here growth saves pretraining, it does not protect what was known.
"""

import re
from collections.abc import Iterable

import torch
from safetensors.torch import load_file
from torch import nn

from tasks.microworld.pretraining.shipping import WEIGHTS

BLOCK = re.compile(r"(?<=\.layers\.)\d+|(?<=coder\.block\.)\d+")
"""The number of a block in a parameter's name: of a LLaMA, and of a T5, both of whose stacks are as deep."""
OUTPUTS = ("o_proj.weight", "down_proj.weight", "Attention.o.weight", "DenseReluDense.wo.weight")
"""What a block adds to the residual stream, in either family."""


def expand(name: str, model: nn.Module) -> None:
    """Fill `model` from the shipped weights of `name`: a model as wide, with a whole fraction of its blocks."""
    small = load_file(WEIGHTS / name / "model.safetensors")
    grown = dict(model.named_parameters())
    few, many = depth(small), depth(grown)
    if many % few:
        raise ValueError(f"{many} blocks are no multiple of the {few} of {name}; take {few}, {2 * few} or {3 * few}")
    for key, into in grown.items():
        copy = 0
        if match := BLOCK.search(key):
            block, copy = divmod(int(match[0]), many // few)
            key = BLOCK.sub(str(block), key)
        with torch.no_grad():
            into.copy_(torch.zeros_like(into) if copy and key.endswith(OUTPUTS) else small[key])


def depth(names: Iterable[str]) -> int:
    """Return the number of blocks of a model, by the names of its parameters."""
    return len({match[0] for name in names if (match := BLOCK.search(name))})
