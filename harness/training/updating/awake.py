"""LISA (Pan et al. 2024, arXiv 2403.17919): in each step only some blocks train, and the others sleep.

`recipe.awake_layers` blocks are awake at a time, all equally likely. They are drawn anew after every
`recipe.awake_every` steps, by the seed and the number of the step, so a resumed training draws the same. What trains
outside of the blocks (embeddings, the last norm, the output layer) is always awake. What sleeps has neither gradient
nor optimiser state: a block that wakes begins with new state. Any method can have it: what trains in a block then is
whatever the method trains there. Deviation: no draw by the size of the weights.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from harness.config.schema import RecipeConfig
from harness.errors import UsageError
from methods.backbone.roles import find, has_family
from methods.backbone.trainable_parameters import trainable


@dataclass(frozen=True)
class Layers:
    """The trained tensors of the blocks that take turns. blocks: of each block, in model order, any shapes."""

    blocks: tuple[tuple[nn.Parameter, ...], ...]
    awake: int
    every: int
    seed: int

    def chosen(self, step: int) -> list[int]:
        """Return which blocks are awake in a step, numbered from 0."""
        draw = random.Random(f"{self.seed} {step // self.every}")
        return sorted(draw.sample(range(len(self.blocks)), self.awake))

    def wake(self, step: int, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Let the blocks of a step, numbered from 0, train and the others sleep, which lose their optimiser state."""
        awake = self.chosen(step)
        for number, tensors in enumerate(self.blocks):
            for tensor in tensors:
                tensor.requires_grad_(number in awake)
                if optimizer is not None and number not in awake:
                    optimizer.state.pop(tensor, None)


def layers(
    model: nn.Module, recipe: RecipeConfig, seed: int = 0, rests: Callable[[str], bool] = lambda _: False
) -> Layers | None:
    """Return the blocks that take turns; None where all train at once. rests: whether a trained tensor stays fixed.

    Raise UsageError where there are not as many blocks with something to train.
    """
    if recipe.awake_layers is None:
        return None
    trained = {name: p for name, p in trainable(model) if not rests(name)}
    paths = find(model, "blocks") if has_family(model) else {}
    blocks = [tuple(p for name, p in trained.items() if name.startswith(f"{path}.")) for path in paths]
    blocks = [block for block in blocks if block]
    if len(blocks) < recipe.awake_layers:
        raise UsageError(
            f"recipe.awake_layers={recipe.awake_layers}: the method trains in {len(blocks)} blocks of this model. "
            "Take fewer, or leave it out."
        )
    return Layers(tuple(blocks), recipe.awake_layers, recipe.awake_every, seed)


@contextmanager
def as_in_a_step(model: nn.Module, recipe: RecipeConfig) -> Iterator[None]:
    """Let meanwhile only the blocks of one draw train, where blocks take turns."""
    own = layers(model, recipe) if dict(trainable(model)) else None
    if own is not None:
        own.wake(0)
    try:
        yield
    finally:
        for tensor in (tensor for block in (own.blocks if own else ()) for tensor in block):
            tensor.requires_grad_(True)
