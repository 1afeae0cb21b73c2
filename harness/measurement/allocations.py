"""Which storages live when, while something runs under a dispatch mode: on a real device, or on none (meta).

Each storage is written down at its birth and at its death, with its bytes; a `Log` is read afterwards. The mode
changes no value: the trajectory of a run that is followed is that of one that is not.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from harness.forecast.log import END, START, Log

_READ = torch.ops.aten._local_scalar_dense.default


@contextmanager
def followed(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator["Live"]:
    """One step of a real training: afterwards `log().most()` is the most bytes that lived at once.

    Gradients and the optimiser's state that are there already are counted; what lives elsewhere is not.
    """
    live = Live()
    live.watch(model)
    live.own(p.grad for p in model.parameters() if p.grad is not None)
    live.own(value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    live.mark(START)
    with live:
        yield live
        live.mark(END)


class _Ref(weakref.ref[Any]):
    """A weak reference that knows the storage's number and address."""

    __slots__ = ("address", "number")
    number: int
    address: int


class Live(TorchDispatchMode):
    """Writes the log of what runs inside it.

    inside(operation, its arguments): bytes that it takes beside its outputs and gives back before it ends.
    """

    def __init__(self, inside: Callable[[Any, Any], int] | None = None) -> None:
        super().__init__()
        self._inside = inside
        self._sizes: list[int] = []
        self._events: list[int] = []
        self._marks: list[tuple[str, int]] = []
        self._gradients: set[int] = set()
        self._held: dict[int, _Ref] = {}
        self._hooks: list[Any] = []

    def watch(self, model: nn.Module) -> None:
        """The model's tensors live already; its gradients are to be told from the rest."""
        self.own(model.parameters())
        self.own(model.buffers())
        for parameter in model.parameters():
            if parameter.requires_grad:
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._gradient))

    def own(self, tensors: Iterable[torch.Tensor]) -> None:
        """These live already."""
        for tensor in tensors:
            self._see(tensor)

    def mark(self, phase: str) -> None:
        """What comes now belongs to `phase`; START begins what is to be judged."""
        self._marks.append((phase, len(self._events)))

    def log(self) -> Log:
        return Log(np.array(self._sizes), np.array(self._events), tuple(self._marks), frozenset(self._gradients))

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)
        self._held.clear()  # references without a holder do not call back
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _READ and args[0].is_meta:
            return args[0].dtype.is_floating_point and 0.0  # False: a mask has padding somewhere
        out = func(*args, **(kwargs or {}))
        if self._inside is not None and (taken := self._inside(func, args)):
            self._events += [len(self._sizes), -1 - len(self._sizes)]
            self._sizes.append(taken)
        for tensor in _tensors(out):
            self._see(tensor)
        return out

    def _see(self, tensor: torch.Tensor) -> int:
        """The number of the tensor's storage; a new one is born."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        known = self._held.get(address)
        if known is not None:
            return known.number
        ref = _Ref(storage, self._died)
        ref.number, ref.address = len(self._sizes), address
        self._held[address] = ref
        self._sizes.append(storage.nbytes())
        self._events.append(ref.number)
        return ref.number

    def _died(self, ref: Any) -> None:
        self._held.pop(ref.address, None)
        self._events.append(-1 - ref.number)

    def _gradient(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self._gradients.add(self._see(parameter.grad))


def _tensors(out: Any) -> Iterator[torch.Tensor]:
    if isinstance(out, torch.Tensor):
        yield out
    elif isinstance(out, list | tuple):
        for one in out:
            yield from _tensors(one)
