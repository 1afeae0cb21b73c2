"""Model soup (Wortsman et al. 2022, arXiv 2203.05482, section 2): the mean of the weights of several finished cells, at
no more cost of inference than one of them. Uniform soup: every ingredient counts the same.

Parameters: 0, nothing trains; a classifier head is averaged too. An ingredient is a cell of any method that merges, on
the same backbone: its delta is folded into a copy of the backbone, and the copies are averaged, so that ingredients of
different methods and ranks mix, with the backbone itself too (`method: none`). The paper's share the start of the
head; here heads are drawn by seed, so that ingredients with a classifier head should have one seed and differ in
recipe or data. Deviations: no greedy soup.
Parents: finished cells, each named with its method. Without parents it is the backbone.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods import registry as methods
from methods.base import (
    Method,
    NotApplicable,
    Parent,
    Shape,
    UsageError,
    freeze,
    is_separate,
    load_delta_state,
    separate,
)


@dataclass(frozen=True)
class Soup(Method):
    """The mean of several finished cells' weights."""

    name: ClassVar[str] = "soup"
    parents: ClassVar[str] = "*"
    evaluation_only: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    unchanged_at_start: ClassVar[bool] = False

    def attach(self, model: nn.Module) -> None:
        """Do nothing: nothing trains, and `inherit` averages the weights."""

    @torch.no_grad()
    def inherit(self, model: nn.Module, parents: Mapping[str, Parent]) -> None:
        total: dict[str, torch.Tensor] = {}
        for role, parent in sorted(parents.items()):
            own = self._ingredient(model, role, parent)
            if is_separate(own) and not is_separate(model):
                separate(model)
            for name, p in own.named_parameters(remove_duplicate=False):
                total[name] = total[name] + p.detach() if name in total else p.detach()
        for name, p in model.named_parameters():
            if total:
                p.copy_(total[name] / len(parents))
        freeze(model)

    @staticmethod
    def _ingredient(model: nn.Module, role: str, parent: Parent) -> nn.Module:
        """Return a copy of the backbone with a parent's delta merged into it."""
        own, method = copy.deepcopy(model), methods.make(parent.method)
        if methods.find(parent.method.name).parents:
            raise UsageError(f"parent {role} ({parent.method.name}) does not go into a soup: it builds on other cells")
        try:
            method.attach(own)
            load_delta_state(own, parent.state)
            method.merge(own)
        except (NotApplicable, UsageError) as error:
            raise UsageError(f"parent {role} ({parent.method.name}) does not go into a soup: {error}") from error
        return own

    def merge(self, model: nn.Module) -> None:
        """Do nothing: the backbone holds the mean already."""

    def closed_form(self, shape: Shape) -> int:
        return 0
