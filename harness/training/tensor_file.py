"""Plain values with tensors among them, as one safetensors file that is whole or refused. Never pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from harness.files import atomic_files
from harness.models import tensor_reader


class Broken(ValueError):
    """A file that is not what `write` wrote, with what is wrong."""


def write(path: Path, value: Any) -> None:
    """Write None, numbers, text, tensors, and lists, tuples and dicts of them. Raise TypeError for anything else."""
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_pack(value, tensors))
    atomic_files.write_tensors(path, tensors, {"content": text, "sha256": tensor_reader.sha256(tensors, text)})


def read(path: Path) -> Any:
    """Return what was written, every number with the same bits. Raise Broken or FileNotFoundError."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if header["sha256"] != tensor_reader.sha256(tensors, header["content"]):
            raise Broken("its content is not what was written")
        return _unpack(json.loads(header["content"]), tensors)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Broken(f"{type(error).__name__}: {error}") from error


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return the value as JSON, in which a list stands for itself and an object names its kind.

    Each tensor goes into `tensors` under a number as its name. Raise TypeError for other values.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = f"{len(tensors):06}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, Mapping):
        return {"pairs": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    raise TypeError(f"a {type(value).__name__} is no plain value")


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, place)] = value.items()
    if kind == "tensor":
        return tensors[place]
    items = _unpack(place, tensors)
    return tuple(items) if kind == "tuple" else dict(items)
