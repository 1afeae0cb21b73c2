"""Deltas attached to modules of a backbone: the modules' outputs go through them, and nothing else changes."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from harness.errors import UsageError
from methods.backbone.roles import Part
from methods.backbone.trainable_parameters import Delta

Child = TypeVar("Child", bound=nn.Module)


def insert(host: nn.Module | Part, name: str, delta: Delta) -> None:
    """Attach `delta` to `host` as the submodule `name`; from now on the host's output goes through the delta.

    The host keeps its class, its weights and their names. So any layer type can be a host, and several deltas can share
    one, in the order of insertion. On rows of a fused linear the delta sees those outputs only. Raise UsageError where
    the host has a delta of that name.
    """
    module, child, rows = _seat(host, name)
    if hasattr(module, child):
        raise UsageError(f"a second {name!r} delta on one {type(module).__name__}: two methods own the same place")
    module.add_module(child, delta.train(module.training))
    delta._seat = (name, host)
    delta._hook = module.register_forward_hook(partial(_through, child, rows))


def copy_outputs(model: nn.Module, name: str) -> None:
    """Copy what leaves the hosts of a delta, where the model clips it in place: OLMo with `clip_qkv` does.

    It is for deltas whose gradient needs their own output as it was.
    """
    if getattr(getattr(model, "config", None), "clip_qkv", None) is None:
        return
    hosts = [host.module if isinstance(host, Part) else host for _, host, _ in inserted(model, name, Delta)]
    for module in dict.fromkeys(hosts):
        module.register_forward_hook(_copied)


def _copied(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return output.clone()


def insert_before(
    host: nn.Module | Part, delta: Delta, change: Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[Any, ...]]
) -> None:
    """Let all inputs of `host`, which has `delta`, go through `change` first."""
    module = host.module if isinstance(host, Part) else host
    delta._before = module.register_forward_pre_hook(change)


def remove(host: nn.Module | Part, name: str) -> None:
    """Undo `insert`, and `insert_before` where it was called."""
    module, child, _ = _seat(host, name)
    delta = getattr(module, child)
    for hook in (delta._hook, delta._before):
        if hook is not None:
            hook.remove()
    delattr(module, child)


def _seat(host: nn.Module | Part, name: str) -> tuple[nn.Module, str, slice | None]:
    """Return (the module, the child's name there, its share of the outputs: None for all)."""
    if not isinstance(host, Part):
        return host, name, None
    return host.module, f"{name}_{host.label}" if host.label else name, host.rows if host.label else None


def _through(child: str, rows: slice | None, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    """Return the output with the host's rows, or all of it, passed through the delta."""
    delta = getattr(module, child)
    if isinstance(output, tuple):  # some blocks return their attention weights beside the stream
        return delta(output[0], *inputs), *output[1:]
    if rows is None:
        return delta(output, *inputs)
    return torch.cat((output[..., : rows.start], delta(output[..., rows], *inputs), output[..., rows.stop :]), dim=-1)


def backbone_modules(model: nn.Module) -> list[nn.Module]:
    """Return every module that no method inserted."""
    inside = {id(m) for delta in model.modules() if isinstance(delta, Delta) for m in delta.modules()}
    return [module for module in model.modules() if id(module) not in inside]


def inserted(model: nn.Module, name: str, kind: type[Child]) -> list[tuple[str, Any, Child]]:
    """Return (host name, host, child) for every host that has a `kind` under `name`, in model order."""
    modules = [(path, module, getattr(module, "_seat", ("", None))) for path, module in model.named_modules()]
    return [
        (path.rpartition(".")[0], host, module)
        for path, module, (own, host) in modules
        if own == name and isinstance(module, kind)
    ]
