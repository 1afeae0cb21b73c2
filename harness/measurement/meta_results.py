"""Results of operations on the meta device, made from those of the same call before.

Many operations compute the shape of their result in Python there, which takes most of the time of a step. What they
give depends on the shapes, strides and types of their tensors and on their other arguments only, so a call like an
earlier one gets an empty tensor of the same shape, strides and type. The number of floating-point operations of a call
depends on the same, so it is counted once, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

Key = tuple[Any, ...]
Shape = tuple[torch.Size, tuple[int, ...], torch.dtype]
_PLAIN = frozenset((torch.Tensor, torch.nn.Parameter))
_ROWS = frozenset((list, tuple, torch.Size))
_VALUES = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format, type(None))


class MetaResults:
    """The shapes of results, and the numbers of floating-point operations, by the calls that gave them."""

    def __init__(self) -> None:
        self._shapes: dict[Key, Shape] = {}
        self._fresh: dict[Any, bool] = {}
        self._operations: dict[Key, int] = {}

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return the result of an operation of torch. One that shares memory with an argument is never made here."""
        if func not in self._fresh:
            self._fresh[func] = _gives_one_new_tensor(func)
        key = _call(func, args, kwargs) if self._fresh[func] else None
        if key is None:
            return func(*args, **kwargs)
        if (shape := self._shapes.get(key)) is not None:
            size, stride, dtype = shape
            return torch.empty_strided(size, stride, dtype=dtype, device="meta")
        result = func(*args, **kwargs)
        if _shares_memory(result, args):  # some views do not state so
            self._fresh[func] = False
        elif _is_whole(result):
            self._shapes[key] = (result.size(), result.stride(), result.dtype)
        return result

    def operations(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
        """Return the floating-point operations of a call that gave `result`, as torch counts them."""
        if func._overloadpacket not in flop_registry:
            return 0
        key = _call(func, args, kwargs)
        if key is None:
            return counted(func, args, kwargs, result)
        if key not in self._operations:
            self._operations[key] = counted(func, args, kwargs, result)
        return self._operations[key]


def counted(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
    """Return the floating-point operations of a call by torch's rules: 0 for an operation that has none."""
    rule = flop_registry.get(func._overloadpacket)
    return 0 if rule is None else int(rule(*args, **kwargs, out_val=result))


def _gives_one_new_tensor(func: Any) -> bool:
    """Return whether an operation changes no argument, and returns one tensor that shares no memory with any."""
    schema = func._schema
    returned = schema.returns
    return not schema.is_mutable and len(returned) == 1 and returned[0].alias_info is None


def _call(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Key | None:
    """Return what the result of a call may depend on; None where an argument is not understood."""
    key = (func, _key(args), _key(tuple(kwargs.items())) if kwargs else ())
    return None if None in key else key


def _key(value: Any) -> Any:
    """Return what a result may depend on; None where a value is none of those that are understood."""
    kind = type(value)
    if kind in _PLAIN:
        return (value.size(), value.stride(), value.dtype) if value.is_meta else None
    if kind in _ROWS:
        parts = tuple(map(_key, value))
        return None if None in parts else parts
    return (kind, value) if isinstance(value, _VALUES) else None


def _shares_memory(result: Any, value: Any) -> bool:
    """Return whether a result has the storage of a tensor in this value."""
    if isinstance(value, list | tuple):
        return any(_shares_memory(result, part) for part in value)
    tensors = isinstance(value, torch.Tensor) and isinstance(result, torch.Tensor)
    return tensors and result.untyped_storage()._cdata == value.untyped_storage()._cdata


def _is_whole(result: Any) -> bool:
    """Return whether an empty tensor of the same shape and strides takes the same memory as this result."""
    if type(result) is not torch.Tensor or result.device.type != "meta" or result.storage_offset():
        return False
    items = 1 + sum((size - 1) * stride for size, stride in zip(result.size(), result.stride(), strict=True))
    needed = items * result.element_size() if result.numel() else 0
    return result.untyped_storage().nbytes() == needed
