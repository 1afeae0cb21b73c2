"""Several methods in one model: each is attached as if it were alone, and no two may own the same tensor."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from harness.errors import UsageError
from methods.attachment.attachable import Attachable
from methods.attachment.parametrization import Overlay
from methods.backbone.linears import Part
from methods.backbone.trainable_parameters import Delta, trainable


class Switch(Delta):
    """What one part put into a model: its hooks and its modules can be removed and restored."""

    def __init__(self, name: str, tensors: set[str], places: list[tuple[dict[Any, Any], Any, Any]]) -> None:
        super().__init__()
        self.name, self.tensors, self.places = name, tensors, places

    def off(self, _: Any = None) -> None:
        """Remove the part's hooks and modules."""
        for holder, key, _item in self.places:
            holder.pop(key, None)

    def on(self, _: Any = None) -> None:
        """Restore the part's hooks and modules."""
        for holder, key, item in self.places:
            holder.setdefault(key, item)


def _holders(model: nn.Module) -> Iterator[dict[Any, Any]]:
    for module in model.modules():
        yield from (module._modules, module._forward_pre_hooks, module._forward_hooks)


def _claims(model: nn.Module, added: list[Delta], trained: Mapping[str, nn.Parameter]) -> dict[int, tuple[str, str]]:
    """Return id of a tensor -> (its name, its rows: "" for all) for every tensor that a part trains or rewrites."""
    claims = {id(p): (name, "") for name, p in trained.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for delta in (delta for delta in added if delta.owns_weight):
        if isinstance(delta, Overlay):
            claims[id(delta.covered[0])] = (names[id(delta.covered[0])], "")
        elif (host := delta._seat[1]) is not None:
            weight = (host.module if isinstance(host, Part) else host).get_parameter("weight")
            claims[id(weight)] = (names[id(weight)], host.label if isinstance(host, Part) else "")
    return claims


def attach_parts(parts: Mapping[str, Attachable], model: nn.Module) -> list[Switch]:
    """Attach each part as if it were alone, and return the switch of each. Afterwards the tensors of all parts train.

    Raise UsageError where two parts own the same tensor.
    """
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
