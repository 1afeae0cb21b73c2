"""Several methods at once (Ding et al. 2022, arXiv 2203.06904, section 5.2), or one after the other.

- combine: all parts are attached together and train together.
- sequence: one part for each stage, equal shares of the steps; a part comes to act in its stage and stays as
  it is afterwards. The next stage goes on from the last step's weights, not the best (as in the authors' code).

A part is a method with its fields, such as `adapter bottleneck=64` or `lora rank=4 targets=q+v`. Parameters:
the sum over parts. Two parts that train, add to or rewrite the same tensor in different ways are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.config.values import Parts
from harness.errors import NotApplicable, UsageError
from methods import registry as methods
from methods.attachment.parametrization import Overlay
from methods.backbone.delta import Delta, trainable
from methods.backbone.roles import Part
from methods.backbone.sizes import Shape
from methods.base import Method, Stage
from methods.registry import read_part


class Switch(Delta):
    """What one part put into a model: its hooks and its modules can be taken out and put back."""

    def __init__(self, name: str, tensors: set[str], places: list[tuple[dict[Any, Any], Any, Any]]) -> None:
        super().__init__()
        self.name, self.tensors, self.places = name, tensors, places

    def off(self, _: Any = None) -> None:
        for holder, key, _item in self.places:
            holder.pop(key, None)

    def on(self, _: Any = None) -> None:
        for holder, key, item in self.places:
            holder.setdefault(key, item)


def _holders(model: nn.Module) -> Iterator[dict[Any, Any]]:
    for module in model.modules():
        yield from (module._modules, module._forward_pre_hooks, module._forward_hooks)


def _claims(model: nn.Module, added: list[Delta], trained: Mapping[str, nn.Parameter]) -> dict[int, tuple[str, str]]:
    """id of a tensor -> (what it is called, which rows: "" for all) for what a part trains or rewrites."""
    claims = {id(p): (name, "") for name, p in trained.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for delta in (delta for delta in added if delta.owns_weight):
        if isinstance(delta, Overlay):
            claims[id(delta.covered[0])] = (names[id(delta.covered[0])], "")
        elif (host := delta._seat[1]) is not None:
            weight = (host.module if isinstance(host, Part) else host).get_parameter("weight")
            claims[id(weight)] = (names[id(weight)], host.label if isinstance(host, Part) else "")
    return claims


def _attach(parts: Mapping[str, Method], model: nn.Module) -> list[Switch]:
    """Attach each part as if it were alone, and check that no two own the same tensor."""
    head = {id(p) for _, p in trainable(model)}
    everything: dict[str, nn.Parameter] = {}
    owned: dict[int, list[tuple[str, str]]] = {}
    switches = []
    for part, method in parts.items():
        known = {id(module) for module in model.modules()}
        before = [(holder, set(holder)) for holder in _holders(model)]
        for p in everything.values():
            p.requires_grad_(False)
        method.attach(model)
        trained = {name: p for name, p in trainable(model) if id(p) not in head}
        added = [m for m in model.modules() if isinstance(m, Delta) and id(m) not in known]
        for key, (name, rows) in _claims(model, added, trained).items():
            for other, taken in owned.setdefault(key, []):
                if other != part and (rows == taken or "" in (rows, taken)):
                    raise UsageError(
                        f"method.parts: {other.split()[0]} and {part.split()[0]} both own {name}: drop one"
                    )
            owned[key].append((part, rows))
        places = [(holder, key, holder[key]) for holder, keys in before for key in holder if key not in keys]
        switches.append(Switch(part, set(trained), places))
        everything |= trained
    for p in everything.values():
        p.requires_grad_(True)
    return switches


@dataclass(frozen=True)
class Combine(Method):
    """Methods attached together."""

    name: ClassVar[str] = "combine"

    parts: Parts = ("adapter", "bitfit")

    def __post_init__(self) -> None:
        self.require(len(set(self.parts)) == len(self.parts), "parts", "a part can come only once")

    @cached_property
    def made(self) -> dict[str, Method]:
        """Part -> its method."""
        return {part: methods.make(MethodConfig(*read_part(part))) for part in self.parts}

    @property
    def unchanged_at_start(self) -> bool:  # type: ignore[override]
        return all(method.unchanged_at_start for method in self.made.values())

    @property
    def mergeable(self) -> bool:  # type: ignore[override]
        return all(method.mergeable for method in self.made.values())

    def attach(self, model: nn.Module) -> None:
        _attach(self.made, model)
        for part, method in self.made.items():
            if len(method.stages(model)) > 1:
                raise UsageError(f"method.parts: {part.split()[0]} has stages of its own, so it cannot be a part")

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
        terms = [term for method in self.made.values() if (term := method.penalty(model)) is not None]
        return torch.stack(terms).sum() if terms else None

    def after_step(self, model: nn.Module, step: int) -> None:
        for method in self.made.values():
            method.after_step(model, step)

    def read(self, model: nn.Module, encode: Callable[[str], Any]) -> None:
        for method in self.made.values():
            method.read(model, encode)

    def dead(self, model: nn.Module) -> dict[str, str]:
        return {name: reason for method in self.made.values() for name, reason in method.dead(model).items()}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {
            f"{part.split()[0]}.{key}": value
            for part, method in self.made.items()
            for key, value in method.notes(model).items()
        }


@dataclass(frozen=True)
class Sequence(Combine):
    """Methods trained one after the other, earlier ones frozen."""

    name: ClassVar[str] = "sequence"

    def attach(self, model: nn.Module) -> None:
        switches = _attach(self.made, model)
        model.add_module("sequence", nn.ModuleList(switches))

    def stages(self, model: Any) -> tuple[Stage, ...]:
        switches: list[Switch] = list(model.sequence)

        def begin(number: int, _: nn.Module) -> None:
            for switch in switches:
                switch.off()
            for switch in switches[: number + 1]:
                switch.on()

        def rests(number: int, name: str) -> bool:
            return any(name in switch.tensors for i, switch in enumerate(switches) if i != number)

        share = 1 / len(switches)
        return tuple(Stage(share, partial(begin, i), partial(rests, i)) for i in range(len(switches)))

    def merge(self, model: Any) -> None:
        super().merge(model)
        if hasattr(model, "sequence"):
            del model.sequence
