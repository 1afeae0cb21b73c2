"""Deltas on parameters: in every forward pass the backbone computes with tensors derived from its frozen ones.

While a module runs, an entry in its `__dict__` hides the parameter that torch keeps under the same name. So the module
keeps its class, its parameters and their names, and every kind of layer can be a host.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from harness.errors import UsageError
from methods.attachment.tied_weights import holders, separate
from methods.backbone.roles import family, find, has_family
from methods.backbone.trainable_parameters import Delta


class Overlay(Delta):
    """The replacement of one parameter, which several modules may share."""

    owns_weight: ClassVar[bool] = True

    def __init__(self, covered: nn.Parameter) -> None:
        super().__init__()
        self.covered = (covered,)  # in a tuple: it stays the backbone's
        self.hooks: list[Any] = []

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor to compute with, of the same shape as the parameter `tensor`."""
        raise NotImplementedError


def overlay(
    name: str,
    hosts: Iterable[nn.Module],
    make: Callable[[nn.Module, nn.Parameter], Overlay],
    only: str = "",
    readers: Mapping[int, nn.Module] | None = None,
) -> None:
    """Attach the overlay that `make` returns to every frozen parameter of `hosts` (`only`: of that name).

    readers: id of a host -> the module that computes with its parameters, where the host itself does not run.
    The overlay is the host's submodule `<name>_<parameter>` and returns tensors of the parameter's shape. Tied
    parameters share one. Raise UsageError where a parameter has one already.
    """
    made: dict[int, Overlay] = {}
    for host in hosts:
        for key, tensor in list(host.named_parameters(recurse=False)):
            if tensor.requires_grad or only not in ("", key):
                continue
            if hasattr(host, f"{name}_{key}"):
                raise UsageError(f"a second {name!r} delta on one {type(host).__name__}: two methods own its {key}")
            if id(tensor) not in made:
                made[id(tensor)] = make(host, tensor)
            delta = made[id(tensor)]
            host.add_module(f"{name}_{key}", delta.train(host.training))
            reader = (readers or {}).get(id(host), host)
            delta.hooks += [
                reader.register_forward_pre_hook(partial(_show, host, name, key)),
                reader.register_forward_hook(partial(_hide, host, key), always_call=True),
            ]


def _show(host: Any, name: str, key: str, *_: Any) -> None:
    """Hide the host's parameter `key` behind the overlay's tensor, before the module that reads it runs."""
    tensor = host._parameters[key]
    host.__dict__[key] = getattr(host, f"{name}_{key}")(tensor).to(tensor.dtype)


def _hide(host: Any, key: str, *_: Any) -> None:
    """Make the host's parameter `key` visible again, after the module that reads it ran."""
    host.__dict__.pop(key, None)


def overlays(model: nn.Module) -> dict[str, Overlay]:
    """Return dotted name -> overlay, each once, in model order."""
    return {path: module for path, module in model.named_modules() if isinstance(module, Overlay)}


@torch.no_grad()
def write(model: nn.Module) -> None:
    """Write every overlay into the parameter it covers, and remove it.

    A tied parameter that is covered in some places only is changed in those places only.
    """
    for delta in overlays(model).values():
        tensor = delta.covered[0]
        made, places = delta.eval()(tensor), holders(model, tensor)
        covered = [(host, key) for host, key in places if any(child is delta for child in host.children())]
        if len(covered) < len(places):
            separate(model)
        for host, key in covered:
            host.get_parameter(key).copy_(made)
        for hook in delta.hooks:
            hook.remove()
    for module in list(model.modules()):
        for child in [name for name, sub in module.named_children() if isinstance(sub, Overlay)]:
            delattr(module, child)


def dead_on_key_biases(model: nn.Module, name: str) -> dict[str, str]:
    """Return the overlays' parameters on key biases, which softmax cancels: parameter name -> reason.

    There are none where keys are rotated.
    """
    if not has_family(model):
        return {}
    row = family(model)
    if row.key_bias_matters or row.fused:
        return {}
    return {
        f"{path}.{name}_bias.{own}": "it moves a key bias, one constant on all keys, which softmax forgets"
        for path, module in find(model, "k").items()
        if hasattr(module, f"{name}_bias")
        for own, _ in getattr(module, f"{name}_bias").named_parameters()
    }
