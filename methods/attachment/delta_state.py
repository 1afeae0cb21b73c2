"""The trained parameters of a model, as a file stores them."""

from collections.abc import Mapping

import torch
from torch import nn

from harness.errors import UsageError, near
from methods.backbone.trainable_parameters import Delta, trainable


def delta_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all trainable parameters (heads too) by name, fp32 on the CPU: what a file stores.

    Each has its parameter's shape. A reparametrisation is replaced by the `plain` delta that it computes.
    """
    stored = _stored(model, _folds(model))
    return {name: _whole(p).to("cpu", torch.float32, copy=True).contiguous() for name, p in stored.items()}


@torch.no_grad()
def load_delta_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy a saved delta into a model with the same method attached. Raise UsageError, with the model unchanged, where
    it does not fit.

    state: tensors by parameter name, each of its parameter's shape. A plain delta takes the place of the
    reparametrisation that computed it, which then no longer trains.
    """
    trained = {name: p.shape for name, p in trainable(model)}
    folds = {} if {name: tensor.shape for name, tensor in state.items()} == trained else _folds(model)
    own = _stored(model, folds)
    for name, tensor in state.items():
        if name not in own:
            raise UsageError(f"the delta holds {name!r}, which this method does not train here.{near(name, own)}")
        if own[name].shape != tensor.shape:
            raise UsageError(f"the delta's {name} is {tuple(tensor.shape)}, the model's is {tuple(own[name].shape)}")
    check_finite(state)
    missing = [name for name in own if name not in state]
    if missing:
        raise UsageError(f"the delta lacks {len(missing)} of {len(own)} trained tensors, the first is {missing[0]!r}")
    for path, plain in folds.items():
        host, _, child = path.rpartition(".")
        setattr(model.get_submodule(host), child, plain)
    for name, tensor in state.items():
        own[name].copy_(tensor)


def check_finite(state: Mapping[str, torch.Tensor]) -> None:
    """Raise UsageError for a saved delta that no model can use. state: tensors of any shape, by name."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise UsageError(f"the delta's {name} holds values that are not finite: the file is not usable")


def _whole(p: nn.Parameter) -> torch.Tensor:
    """Return the whole tensor, in its parameter's shape, where several processes hold parts of it."""
    tensor = p.detach()
    whole: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def _folds(model: nn.Module) -> dict[str, Delta]:
    """Return dotted name -> plain delta, for deltas that are reparametrised."""
    deltas = ((path, module) for path, module in model.named_modules() if isinstance(module, Delta))
    plain = ((path, module, module.plain()) for path, module in deltas)
    return {path: other for path, module, other in plain if other is not module}


def _stored(model: nn.Module, folds: Mapping[str, Delta]) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, with `folds` in the place of the reparametrisations."""
    inside = tuple(f"{path}." for path in folds)
    stored = {name: p for name, p in trainable(model) if not name.startswith(inside)}
    return stored | {f"{path}.{name}": p for path, plain in folds.items() for name, p in plain.named_parameters()}
