"""Specification by place: some of the backbone's own parameters train, nothing is added.

- layernorm: all normalisations (Qi et al. 2022, arXiv 2211.08682; Zhao et al. 2023, arXiv 2312.11420).
  Parameters: D for each norm, 2 D where norms have biases.
- last_layer: the last blocks in the order of computation (Lee et al. 2019, arXiv 1911.03090: the last quarter
  of BERT keeps nine tenths of the quality). Of an encoder-decoder these are the decoder's.
- selective: linears drawn at random until they hold `fraction` of the backbone's parameters.
- hft: half fine-tuning (Hui et al. 2024, arXiv 2404.18466): in each block half of the attention's matrices,
  half of the feed-forward's and half of the norms. The larger half of an odd number goes to every second
  block. Deviations: one draw for the whole run (paper: one for each round of fine-tuning); embeddings and
  output layer stay frozen.

Draws are from `selection_seed`, so that all seeds of a grid train the same parameters.
"""

import random
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from harness.errors import NotApplicable
from methods.backbone.roles import dead_key_biases, family, find
from methods.backbone.sizes import Place, Shape
from methods.backbone.sizes import shape as shape_of
from methods.base import Method

CATEGORIES = (("q", "k", "v", "o"), ("ffn-in", "ffn-gate", "ffn-out"), ("norms",))


@dataclass(frozen=True)
class Subset(Method):
    """Some of the backbone's own modules train."""

    mergeable: ClassVar[bool] = True

    def chosen(self, shape: Shape) -> list[Place]:
        """The modules that train."""
        raise NotImplementedError

    def attach(self, model: Any) -> None:
        chosen = self.chosen(shape_of(model))
        if not chosen:
            raise NotApplicable(f"method {self.name}: family {family(model).name} has no such parameters")
        for place in chosen:
            for parameter in model.get_submodule(place.path).parameters(recurse=False):
                parameter.requires_grad_(True)

    def merge(self, model: nn.Module) -> None:
        """What trained is the backbone's own."""

    def closed_form(self, shape: Shape) -> int:
        return sum(place.size for place in self.chosen(shape))

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)


@dataclass(frozen=True)
class LayerNormTuning(Subset):
    """All normalisations train."""

    name: ClassVar[str] = "layernorm"

    def chosen(self, shape: Shape) -> list[Place]:
        return [place for place in shape.places if place.role == "norms"]


@dataclass(frozen=True)
class LastLayer(Method):
    """The last blocks train."""

    name: ClassVar[str] = "last_layer"
    mergeable: ClassVar[bool] = True

    layers: float = 1.0

    def __post_init__(self) -> None:
        whole = self.layers == int(self.layers)
        self.require(self.layers > 0, "layers", "it must be a number of blocks, or a share of them below 1")
        self.require(self.layers < 1 or whole, "layers", "above 1 it is a number of blocks, so it must be whole")

    def attach(self, model: nn.Module) -> None:
        blocks = list(find(model, "blocks").values())
        for block in blocks[-self._number(len(blocks)) :]:
            block.requires_grad_(True)

    def _number(self, blocks: int) -> int:
        number = max(1, round(self.layers * blocks)) if self.layers < 1 else int(self.layers)
        self.require(number <= blocks, "layers", f"this backbone has {blocks} blocks")
        return number

    def merge(self, model: nn.Module) -> None:
        """What trained is the backbone's own."""

    def closed_form(self, shape: Shape) -> int:
        return sum(shape.blocks[-self._number(len(shape.blocks)) :])

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)


@dataclass(frozen=True)
class Selective(Subset):
    """Linears drawn at random train."""

    name: ClassVar[str] = "selective"

    fraction: float = 0.1
    selection_seed: int = 0

    def __post_init__(self) -> None:
        self.require(0 < self.fraction <= 1, "fraction", "the fraction must be above 0 and at most 1")

    def chosen(self, shape: Shape) -> list[Place]:
        linears = [place for place in shape.places if place.role != "norms"]
        random.Random(self.selection_seed).shuffle(linears)
        left, taken = self.fraction * shape.parameters, []
        for place in linears:
            if place.size <= left:
                taken.append(place)
                left -= place.size
        least = min(place.size for place in linears) / shape.parameters
        self.require(bool(taken), "fraction", f"the smallest linear is {least:.2g} of this backbone")
        return taken


@dataclass(frozen=True)
class HalfFineTuning(Subset):
    """Half of each block's matrices and norms train."""

    name: ClassVar[str] = "hft"

    selection_seed: int = 0

    def chosen(self, shape: Shape) -> list[Place]:
        draw, taken = random.Random(self.selection_seed), []
        for block in range(len(shape.blocks)):
            for roles in CATEGORIES:
                group = [place for place in shape.places if place.block == block and place.role in roles]
                taken += draw.sample(group, (len(group) + block % 2) // 2)
        return taken
