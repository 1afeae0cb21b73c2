"""Other tensors in the place of a model's own, while a block runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def exchanged(model: nn.Module, own: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Let the model have these tensors in place of its parameters and buffers of the same names, while the block runs.

    own: dotted name -> tensor, of the shape of the model's, or stacked by torch.func.vmap.
    torch.func.functional_call does not restore a parameter whose module stands in the model more than once.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    by_id = {id(tensor): own[name] for name, tensor in tensors if name in own}
    places = [
        (holder, name, tensor)
        for module in model.modules()
        for holder in (module._parameters, module._buffers)
        for name, tensor in holder.items()
        if id(tensor) in by_id
    ]
    try:
        for holder, name, tensor in places:
            holder[name] = by_id[id(tensor)]  # type: ignore[assignment]
        yield
    finally:
        for holder, name, tensor in places:
            holder[name] = tensor  # type: ignore[assignment]
