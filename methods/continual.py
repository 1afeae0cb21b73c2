"""A method on what an earlier task left: the finished delta of a cell is merged into the backbone, and a new one is
trained on another task.

Parameters: those of the parts, which are written, counted and checked as in `combine`. A chain of such cells learns
tasks one after the other, as in section 5 of "LoRA vs Full Fine-tuning" (Shuttleworth et al. 2024, arXiv 2410.21228;
second-hand): each has the one before as its parent. `merge` gives a plain backbone that holds all tasks so far. A
classifier's head goes along with its delta. A file has the new delta alone, so a finished cell is rebuilt from its
parents. Parents: exactly one finished cell of any method that merges, named with its method, on the same backbone.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods import registry as methods
from methods.base import (
    NotApplicable,
    Parent,
    Parts,
    UsageError,
    is_separate,
    load_delta_state,
    separate,
)
from methods.combine import Combine


@dataclass(frozen=True)
class Continual(Combine):
    """Methods on a backbone into which the delta of an earlier task is merged."""

    name: ClassVar[str] = "continual"
    parents: ClassVar[str] = "*"
    single_parent: ClassVar[bool] = True
    unchanged_at_start: ClassVar[bool] = False

    parts: Parts = ("lora",)

    def attach(self, model: nn.Module) -> None:
        if not next(model.parameters()).is_meta:
            model.bare = (copy.deepcopy(model),)  # type: ignore[assignment]  # in a tuple: it is no part of the model
        super().attach(model)

    @torch.no_grad()
    def inherit(self, model: Any, parents: Mapping[str, Parent]) -> None:
        (bare,) = model.bare
        del model.bare
        if len(parents) > 1:
            raise UsageError(
                f"method {self.name} goes on from one finished cell, and this has {len(parents)}: "
                f"{', '.join(sorted(parents))}"
            )
        for role, parent in parents.items():
            try:
                _merge(bare, parent)
            except (NotApplicable, UsageError) as error:
                raise UsageError(f"parent {role} ({parent.method.name}) cannot be gone on from: {error}") from error
            if is_separate(bare) and not is_separate(model):
                separate(model)
            for name, tensor in bare.named_parameters(remove_duplicate=False):
                model.get_parameter(name).copy_(tensor)


def _merge(bare: nn.Module, parent: Parent) -> None:
    """Fold what a parent trained into a backbone, after what its own parents did."""
    method = methods.make(parent.method)
    method.attach(bare)
    method.inherit(bare, parent.parents)
    load_delta_state(bare, parent.state)
    method.merge(bare)
