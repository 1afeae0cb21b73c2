"""Several methods at once (Ding et al. 2022, arXiv 2203.06904, section 5.2): all parts are attached and train together.

A part is a method with its fields, such as `adapter bottleneck=64` or `lora rank=4 targets=q+v`. Parameters: the sum
over parts. Two parts that train, add to or rewrite the same tensor in different ways are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import nn

from methods import registry as methods
from methods.base import (
    Group,
    Method,
    MethodConfig,
    NotApplicable,
    Parts,
    Shape,
    Switch,
    Training,
    UsageError,
    attach_parts,
)
from methods.registry import read_part


@dataclass(frozen=True)
class Combine(Method):
    """Methods attached together."""

    name: ClassVar[str] = "combine"

    parts: Parts = ("adapter", "bitfit")

    def __post_init__(self) -> None:
        again = next((part for part in self.parts if self.parts.count(part) > 1), None)
        if again is not None:
            raise UsageError(
                f"method.parts names {again.split()[0]} twice with the same fields; a part can come only once, so "
                "leave one out."
            )

    @cached_property
    def made(self) -> dict[str, Method]:
        """Return part -> its method."""
        return {part: methods.make(MethodConfig(*read_part(part))) for part in self.parts}

    @cached_property
    def owned(self) -> dict[str, frozenset[str]]:
        """Return part -> the names of the tensors that it trains, once it is attached."""
        return {}

    @property
    def unchanged_at_start(self) -> bool:  # type: ignore[override]
        """Return whether every part leaves the output unchanged at the start."""
        return all(method.unchanged_at_start for method in self.made.values())

    @property
    def mergeable(self) -> bool:  # type: ignore[override]
        """Return whether every part can be merged."""
        return all(method.mergeable for method in self.made.values())

    def attach(self, model: nn.Module) -> None:
        self.own(self.switches(model))
        for part, method in self.made.items():
            if len(method.stages(model)) > 1:
                raise UsageError(f"method.parts: {part.split()[0]} has stages of its own, so it cannot be a part")

    def switches(self, model: nn.Module) -> list[Switch]:
        """Attach the parts. Raise UsageError for two of one method that would own the same place."""
        names = [part.split()[0] for part in self.parts]
        again = next((name for name in names if names.count(name) > 1), None)
        try:
            return attach_parts(self.made, model)
        except UsageError as error:
            if again is None:
                raise
            raise UsageError(
                f"method.parts names {again} twice: {error}; leave one out, or give them targets of their own."
            ) from error

    def own(self, switches: list[Switch]) -> None:
        """Remember which trained tensors each part has, by name."""
        self.owned.update({switch.name: frozenset(switch.tensors) for switch in switches})

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        return tuple(
            Group(partial(_of_part, self.owned[part], group), group.rate, group.decay)
            for part, method in self.made.items()
            for group in method.groups(model)
        )

    def merge(self, model: nn.Module) -> None:
        fixed = [part.split()[0] for part, method in self.made.items() if not method.mergeable]
        if fixed:
            raise NotApplicable(f"method {self.name} cannot be merged: {fixed[0]} adds what no weight holds")
        for method in self.made.values():
            method.merge(model)

    def closed_form(self, shape: Shape) -> int:
        return sum(method.closed_form(shape) for method in self.made.values())

    def tokens_added(self) -> int:
        return sum(method.tokens_added() for method in self.made.values())

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """Return the sum of the parts' penalties, a scalar, or None where no part has one."""
        terms = [term for method in self.made.values() if (term := method.penalty(model)) is not None]
        return torch.stack(terms).sum() if terms else None

    def after_step(self, model: nn.Module, step: int) -> None:
        for method in self.made.values():
            method.after_step(model, step)

    def read(self, model: nn.Module, encode: Callable[[str], Any]) -> None:
        for method in self.made.values():
            method.read(model, encode)

    @property
    def has_start(self) -> bool:
        return any(method.has_start for method in self.made.values())

    def start(self, model: nn.Module, training: Training) -> None:
        for method in self.made.values():
            method.start(model, training)

    def dead(self, model: nn.Module) -> dict[str, str]:
        return {name: reason for method in self.made.values() for name, reason in method.dead(model).items()}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {
            f"{part.split()[0]}.{key}": value
            for part, method in self.made.items()
            for key, value in method.notes(model).items()
        }


def _of_part(tensors: frozenset[str], group: Group, name: str) -> bool:
    return name in tensors and group.trains(name)
