"""Everything about a model that training may change: what it was at the start, taken later, put back.

Trained tensors change, and so may others: masks and gates that a method sets, statistics of a norm, a backbone's
weight that a method rewrites; numbers and words that a module counts in; random generators of its own; and what a
module gives as `get_extra_state`, torch's own way to name the rest. Those are found here by looking, not by a list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_INTEGER = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
Mark = tuple[int, int, int]
Plain = bool | int | float | str


@dataclass(frozen=True)
class Start:
    """marks: of every tensor by dotted name. plain: of every module by path."""

    marks: Mapping[str, Mark]
    plain: Mapping[str, Mapping[str, Plain]]


def start(model: nn.Module) -> Start:
    """Return the model's state before training, in a few bytes for each tensor."""
    return Start({name: _mark(tensor) for name, tensor in _tensors(model)}, _plain(model))


def take(model: nn.Module, trained: Mapping[str, nn.Parameter], began: Start) -> dict[str, Any]:
    """Return `trained` by name, in their shapes, and whatever else is not as it was at the start.

    The tensors are the model's own, not copies: write them before the next step.
    """
    others = {name: tensor for name, tensor in _tensors(model) if name not in trained}
    return {
        "trained": dict(trained),
        "changed": {name: tensor for name, tensor in others.items() if _mark(tensor) != began.marks.get(name)},
        "plain": {
            path: new
            for path, values in _plain(model).items()
            if (new := {k: v for k, v in values.items() if v != began.plain.get(path, {}).get(k)})
        },
        "extra": {path: module.get_extra_state() for path, module in _with_extra(model)},
        "generators": {name: generator.get_state() for name, generator in _generators(model)},
    }


@torch.no_grad()
def put(model: nn.Module, trained: Mapping[str, nn.Parameter], saved: Mapping[str, Any]) -> None:
    """Put what `take` returned, in the shapes of `trained`, into a model made in the same way.

    Raise ValueError where it does not fit.
    """
    if set(saved["trained"]) != set(trained):
        raise ValueError(f"other tensors train: {sorted(set(saved['trained']) ^ set(trained))[:3]}")
    for name, tensor in saved["trained"].items():
        if trained[name].shape != tensor.shape:
            raise ValueError(f"{name} is {tuple(trained[name].shape)} here and was {tuple(tensor.shape)}")
        trained[name].copy_(tensor)
    for name, tensor in saved["changed"].items():
        path, _, leaf = name.rpartition(".")
        own = getattr(_module(model, path), leaf, None)
        if not isinstance(own, torch.Tensor):
            raise ValueError(f"{name} is not there")
        own.data = tensor.to(own.device)  # it may have another size or type than at the start
    for path, values in saved["plain"].items():
        for name, value in values.items():
            setattr(_module(model, path), name, value)
    for path, value in saved["extra"].items():
        _module(model, path).set_extra_state(value)
    generators = dict(_generators(model))
    for name, state in saved["generators"].items():
        if name not in generators:
            raise ValueError(f"the random generator {name} is not there")
        generators[name].set_state(state)


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"{path} is not there") from error


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the path and the tensor of parameters, buffers, and tensors that are mere attributes, each once."""
    yield from model.named_parameters()
    yield from model.named_buffers()
    yield from _attributes(model, torch.Tensor)


def _generators(model: nn.Module) -> Iterator[tuple[str, torch.Generator]]:
    yield from _attributes(model, torch.Generator)


def _attributes(model: nn.Module, kind: type[Any]) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, kind):
                yield f"{path}.{name}" if path else name, value


def _plain(model: nn.Module) -> dict[str, dict[str, Plain]]:
    """Return path -> the numbers and texts among the module's attributes, without `training`: the harness sets it."""
    return {
        path: {name: v for name, v in vars(module).items() if isinstance(v, Plain) and name != "training"}
        for path, module in model.named_modules()
    }


def _with_extra(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in model.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            yield path, module


def _mark(tensor: torch.Tensor) -> Mark:
    """Return a mark that differs once the tensor (of any shape) was written to or replaced.

    It is the tensor's place, torch's count of writes, and the sum of its bits, because torch does not count a write
    through `.data`.
    """
    version = 0 if tensor.is_inference() else tensor._version
    try:
        whole = _INTEGER[tensor.element_size()]
        return tensor.data_ptr(), version, int(tensor.detach().contiguous().view(whole).sum(dtype=torch.int64))
    except (RuntimeError, NotImplementedError, TypeError, KeyError):  # a quantised or otherwise strange kind of tensor
        return id(tensor), version, 0
