"""The contract of a method, and the helpers every method uses.

Shape alphabet, first in every tensor argument of this project: B batch, T tokens, D model width, F
feed-forward width, H heads, K head width, L layers, R rank or bottleneck, P prompt or prefix length, V
vocabulary.

`requires_grad` is the only record of what trains: the optimiser, the parameter count and the saved file read
it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from harness.errors import NotApplicable, UsageError, near
from methods.anatomy import Part
from methods.shape import Shape

Child = TypeVar("Child", bound=nn.Module)


def _nothing(_: nn.Module) -> None:
    pass


def _none(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Stage:
    """One run of a fresh optimiser, with a schedule of its own, over `share` of the recipe's steps.

    begin(model) comes before its first step. rests(name of a trained tensor): whether that tensor stays as it is
    during the stage; it keeps its place in the delta (its count, its file). Only the last stage's evaluations
    are the method's.
    """

    share: float = 1.0
    begin: Callable[[nn.Module], None] = _nothing
    rests: Callable[[str], bool] = _none


@dataclass(frozen=True)
class Method:
    """A delta-tuning method: flat hyperparameters and what they do to a frozen backbone.

    Subclasses are frozen dataclasses with a `name`; their fields are the YAML's fields and their
    `__post_init__` checks ranges. `derived` says what a field at null becomes, as arithmetic over the other
    fields.
    """

    name: ClassVar[str]
    derived: ClassVar[Mapping[str, str]] = {}
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = True
    parents: ClassVar[str] = ""  # the method whose finished deltas this one builds on

    def attach(self, model: nn.Module) -> None:
        """Insert modules into the frozen backbone and/or set `requires_grad`. Raises
        UsageError/NotApplicable.

        Draws from torch's global generator only, and works on the meta device.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold the delta into the backbone; idempotent. Methods that cannot merge raise NotApplicable."""
        raise NotApplicable(f"method {self.name} cannot be merged: it adds computation that no weight holds")

    def inherit(self, model: nn.Module, parents: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Called after `attach` where `parents` names a method: role -> that cell's `delta_state`. UsageError
        for tensors that do not fit.
        """

    def read(self, model: nn.Module, encode: Callable[[str], Sequence[int]]) -> None:
        """Called after `attach` with text -> token ids (no special tokens), for starts that are text."""

    def closed_form(self, shape: Shape) -> int:
        """The number of delta parameters from the backbone's sizes alone, as the paper counts them."""
        raise NotImplementedError

    def tokens_added(self) -> int:
        """Positions that the method adds to the (encoder's) input."""
        return 0

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """An extra loss term (scalar), or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Called after each optimiser step (1-based)."""

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        """What training consists of; the shares add up to 1."""
        return (Stage(),)

    def dead(self, model: nn.Module) -> dict[str, str]:
        """Trainable tensors that can never have a gradient: parameter name -> reason."""
        return {}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        """What the record should say about this attachment (insertion points, created biases, ...)."""
        return {}

    def require(self, rule: bool, field: str, text: str) -> None:
        """UsageError "method.field=value: text" unless the rule holds."""
        if not rule:
            raise UsageError(f"method.{field}={getattr(self, field)}: {text}")


class Delta(nn.Module):
    """A module that a method inserted, so not part of the backbone.

    On a host it maps the host's output: forward(output, *inputs of the host) -> new output.
    owns_weight: it rewrites what its host's weight does, so nothing else may (see `combine`).
    """

    owns_weight: ClassVar[bool] = False
    _hook: Any = None
    _seat: tuple[str, Any] = ("", None)  # its name and host; in a tuple, so that torch does not register the host

    def plain(self) -> "Delta":
        """What a file keeps of it: itself, or what a reparametrisation makes, as a delta that needs it no more."""
        return self


def insert(host: nn.Module | Part, name: str, delta: Delta) -> None:
    """Hang `delta` on `host` as the submodule `name`; from now on its output goes through the delta.

    The host keeps its class, its weights and their names, so any layer type can be a host and several deltas
    can share one, in the order they came. On rows of a fused linear the delta sees those outputs only.
    """
    module, child, rows = _seat(host, name)
    if hasattr(module, child):
        raise UsageError(f"a second {name!r} delta on one {type(module).__name__}: two methods own the same place")
    module.add_module(child, delta)
    delta._seat = (name, host)
    delta._hook = module.register_forward_hook(partial(_through, child, rows))


def remove(host: nn.Module | Part, name: str) -> None:
    """Undo `insert`."""
    module, child, _ = _seat(host, name)
    getattr(module, child)._hook.remove()
    delattr(module, child)


def _seat(host: nn.Module | Part, name: str) -> tuple[nn.Module, str, slice | None]:
    """(the module, the child's name there, its share of the outputs: None for all)."""
    if not isinstance(host, Part):
        return host, name, None
    return host.module, f"{name}_{host.label}" if host.label else name, host.rows if host.label else None


def _through(child: str, rows: slice | None, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    delta = getattr(module, child)
    if rows is None:
        return delta(output, *inputs)
    return torch.cat((output[..., : rows.start], delta(output[..., rows], *inputs), output[..., rows.stop :]), dim=-1)


def inserted(model: nn.Module, name: str, kind: type[Child]) -> list[tuple[str, Any, Child]]:
    """(host name, host, child) for every host that carries a `kind` under `name`, in model order."""
    found = [(path, module, getattr(module, "_seat", ("", None))) for path, module in model.named_modules()]
    return [
        (path.rpartition(".")[0], host, module)
        for path, module, (own, host) in found
        if own == name and isinstance(module, kind)
    ]


def parameter(like: torch.Tensor, *shape: int) -> nn.Parameter:
    """An uninitialised trainable tensor on the device of `like`; float32 where that is half or quantised."""
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return nn.Parameter(torch.empty(shape, device=like.device, dtype=dtype))


def freeze(model: nn.Module) -> None:
    """No parameter of the backbone trains."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) of everything that trains, each tensor once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def count(model: nn.Module, heads: Sequence[str] = ()) -> dict[str, int]:
    """Numbers of parameters, each tensor once.

    delta: what trains outside the heads. head: everything under a module name in `heads`. backbone: the model
    without heads and without what methods inserted.
    """
    added = {id(p) for module in model.modules() if isinstance(module, Delta) for p in module.parameters()}
    totals = {"delta": 0, "head": 0, "backbone": 0}
    for name, p in model.named_parameters():
        if any(name.startswith(f"{head}.") for head in heads):
            totals["head"] += p.numel()
            continue
        totals["delta"] += p.numel() if p.requires_grad else 0
        totals["backbone"] += 0 if id(p) in added else p.numel()
    return totals


def delta_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of everything that trains (heads too), fp32 on the CPU, by parameter name: what a file keeps.

    Reparametrisations are folded away: their `plain` deltas stand in for them.
    """
    held = _held(model, _folds(model))
    return {name: p.detach().to("cpu", torch.float32, copy=True).contiguous() for name, p in held.items()}


@torch.no_grad()
def load_delta_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put a saved delta into a model with the same method attached; one that does not fit changes nothing.

    A folded delta takes the place of the reparametrisation, which then no longer trains.
    """
    folds = {} if set(state) == set(dict(trainable(model))) else _folds(model)
    own = _held(model, folds)
    for name, tensor in state.items():
        if name not in own:
            raise UsageError(f"the delta holds {name!r}, which this method does not train here.{near(name, own)}")
        if own[name].shape != tensor.shape:
            raise UsageError(f"the delta's {name} is {tuple(tensor.shape)}, the model's is {tuple(own[name].shape)}")
        if not bool(torch.isfinite(tensor).all()):
            raise UsageError(f"the delta's {name} holds values that are not finite: the file is not usable")
    missing = [name for name in own if name not in state]
    if missing:
        raise UsageError(f"the delta lacks {len(missing)} of {len(own)} trained tensors, the first is {missing[0]!r}")
    for path, plain in folds.items():
        host, _, child = path.rpartition(".")
        setattr(model.get_submodule(host), child, plain)
    for name, tensor in state.items():
        own[name].copy_(tensor)


def _folds(model: nn.Module) -> dict[str, Delta]:
    """dotted name -> the plain delta that will do, for deltas that are reparametrised."""
    deltas = ((path, module) for path, module in model.named_modules() if isinstance(module, Delta))
    plain = ((path, module, module.plain()) for path, module in deltas)
    return {path: other for path, module, other in plain if other is not module}


def _held(model: nn.Module, folds: Mapping[str, Delta]) -> dict[str, nn.Parameter]:
    """What trains, with `folds` in the place of what they fold."""
    inside = tuple(f"{path}." for path in folds)
    held = {name: p for name, p in trainable(model) if not name.startswith(inside)}
    return held | {f"{path}.{name}": p for path, plain in folds.items() for name, p in plain.named_parameters()}
