"""The trained tensors of a model: take, put back, save."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import atomic_files
from harness.models import tensor_reader
from harness.store.attempt_folder import FILE, AttemptFolder
from harness.store.store import Store, trained
from methods.backbone.trainable_parameters import trainable

if TYPE_CHECKING:
    from methods.base import Parent


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return name -> copy of every trainable parameter (the head included), in its shape and in the host's memory."""
    return {name: whole(p.detach()).to("cpu", copy=True) for name, p in trainable(model)}


@torch.no_grad()
def restore(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put tensors taken from this model back, by name; each has its parameter's shape."""
    for name, parameter in trainable(model):
        put(parameter, tensors[name])


def save(folder: AttemptFolder, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors of any shape, by name, as one safetensors file in fp32."""
    single = {key: tensor.float().contiguous() for key, tensor in tensors.items()}
    with folder.atomic(name) as path:
        atomic_files.write_tensors(path, single, tensor_reader.header(single))


def load(store: Store, cell: Cell) -> "dict[str, Parent]":
    """Return role -> the tensors that this parent trained, at its best point, with its own parents.

    Raise UsageError for a file that is not whole safetensors, and for a parent on another backbone.
    """
    from methods.base import Parent

    loaded = {}
    for role, key in cell.parents:
        path, parent = store.counting_file(key, FILE), store.cell(key)
        if _backbone(parent) != _backbone(cell):
            raise UsageError(
                f"parent {role}: cell {key[:12]} is on another backbone ({parent.model.name}, "
                f"{parent.model.weights} weights): its trained tensors mean nothing on {cell.model.name}"
            )
        try:
            state = tensor_reader.load(path) if path.is_file() or trained(store, key) else {}
        except (OSError, ValueError) as error:
            raise UsageError(f"parent {role}: {path.name} of cell {key[:12]} cannot be read ({error})") from error
        loaded[role] = Parent(parent.method, state, load(store, parent))
    return loaded


def _backbone(cell: Cell) -> tuple[str, str, str, int]:
    """Return what decides the weights that a delta belongs to; random weights come from the cell's seed."""
    model = cell.model
    return model.family, model.revision, model.weights, cell.seed if model.weights == "random" else 0


def sharded(tensor: torch.Tensor) -> bool:
    """Return whether a tensor of any shape is spread over processes."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a sharded tensor in its full shape, another one as it is. Every process has to call this."""
    full: torch.Tensor = tensor.full_tensor() if sharded(tensor) else tensor  # type: ignore[attr-defined]
    return full


def put(parameter: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a whole tensor into a parameter of the same full shape, sharded or not."""
    if sharded(parameter):
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
        value = distribute_tensor(value.to(parameter.device, parameter.dtype), mesh, placements)
    parameter.copy_(value)
