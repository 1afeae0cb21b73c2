"""The trained tensors of a model: take, put back, save."""

from collections.abc import Mapping

import torch
from safetensors.torch import save_file
from torch import nn

from harness.store.attempt_folder import AttemptFolder
from harness.training import parallel
from methods.base import trainable


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """name -> copy, in memory of the host, of everything that trains (the head included)."""
    return {name: parallel.whole(p.detach()).to("cpu", copy=True) for name, p in trainable(model)}


@torch.no_grad()
def restore(model: nn.Module, held: Mapping[str, torch.Tensor]) -> None:
    """Put tensors taken from this model back."""
    for name, parameter in trainable(model):
        parallel.put(parameter, held[name])


def save(folder: AttemptFolder, name: str, held: Mapping[str, torch.Tensor]) -> None:
    """One safetensors file, fp32."""
    with folder.atomic(name) as path:
        save_file({key: tensor.float().contiguous() for key, tensor in held.items()}, path)
