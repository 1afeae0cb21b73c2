"""The lifetimes of storages while code runs under a dispatch mode, on a real device or on none (meta).

Each storage is recorded at its birth and at its death, with its bytes; a `Log` is evaluated afterwards. The mode
changes no value: a run under it has the same trajectory as one without it.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from harness.measurement.meta_results import MetaResults, counted

_READ = torch.ops.aten._local_scalar_dense.default


class _Ref(weakref.ref[Any]):
    """A weak reference that knows the storage's number and address."""

    __slots__ = ("address", "number")
    number: int
    address: int


class Live(TorchDispatchMode):
    """A dispatch mode that records the allocations inside it.

    - inside(operation, its arguments): the bytes that it allocates besides its outputs and frees before it ends.
    - count: count the floating-point operations since START, too.
    - results: takes the place of calls on the meta device (see meta_results.py).
    """

    def __init__(
        self,
        inside: Callable[[Any, Any], int] | None = None,
        count: bool = False,
        results: MetaResults | None = None,
    ) -> None:
        super().__init__()
        self._inside, self._count, self._results = inside, count, results
        self._operations = 0
        self._by_phase: dict[str, int] = {}
        self._sizes: list[int] = []
        self._events: list[int] = []
        self._marks: list[tuple[str, int]] = []
        self._gradients: set[int] = set()
        self._held: dict[int, _Ref] = {}
        self._hooks: list[Any] = []

    def watch(self, model: nn.Module) -> None:
        """Record the model's tensors as live, and recognise its gradients from now on."""
        self.own(model.parameters())
        self.own(model.buffers())
        for parameter in model.parameters():
            if parameter.requires_grad:
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._gradient))

    def own(self, tensors: Iterable[torch.Tensor]) -> None:
        """Record these tensors (of any shape) as live."""
        for tensor in tensors:
            self._see(tensor)

    def mark(self, phase: str) -> None:
        """Assign what follows to `phase`; START begins the step that is evaluated."""
        if phase == START:
            self._by_phase = {}
        elif self._marks:
            last = self._marks[-1][0]
            self._by_phase[last] = self._by_phase.get(last, 0) + self._operations
        self._operations = 0
        self._marks.append((phase, len(self._events)))

    def log(self) -> "Log":
        """Return the log of all allocations so far."""
        gradients = frozenset(self._gradients)
        operations = {phase: count for phase, count in self._by_phase.items() if count}
        return Log(np.array(self._sizes), np.array(self._events), tuple(self._marks), gradients, operations)

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)
        self._held.clear()  # a weak reference that is deleted does not call back
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _READ and args[0].is_meta:
            return args[0].dtype.is_floating_point and 0.0  # False: a mask is taken to contain padding
        kwargs = kwargs or {}
        out = func(*args, **kwargs) if self._results is None else self._results.call(func, args, kwargs)
        if self._inside is not None and (taken := self._inside(func, args)):
            self._events += [len(self._sizes), -1 - len(self._sizes)]
            self._sizes.append(taken)
        if self._count:
            count = counted if self._results is None else self._results.operations
            self._operations += count(func, args, kwargs, out)
        for tensor in _tensors(out):
            self._see(tensor)
        return out

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would wrap each call so that no compiler sees it, and nothing is compiled here."""
        return False

    def _see(self, tensor: torch.Tensor) -> int:
        """Return the number of the tensor's storage; a new storage is recorded as born."""
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
    """Yield the tensors in an operation's nested output."""
    if isinstance(out, torch.Tensor):
        yield out
    elif isinstance(out, list | tuple):
        for item in out:
            yield from _tensors(item)


BLOCK = 512
"""Bytes to which CUDA's caching allocator rounds up; the unit of every figure here."""
CATEGORIES = ("parameters", "gradients", "optimizer", "activations", "temporaries")
START, END = "start", "end"
"""Marks around the step that is evaluated; the part before it created the optimiser's state."""
UPDATE = "update"
"""The phase of the optimiser's own work."""
_KEPT = {"forward": "activations", UPDATE: "optimizer"}


@dataclass(frozen=True)
class Peak:
    """The peak of live memory. bytes: the most that were live at once. split: category -> bytes at that moment."""

    bytes: int
    split: dict[str, int]


@dataclass(frozen=True)
class Log:
    """The allocations of a run.

    - sizes: [N] bytes of each storage, as requested.
    - events: [E] a storage's number at its birth, -1 - number at its death.
    - marks: (phase, its first event), in order.
    - gradients: numbers of storages.
    - operations: phase -> floating-point operations of the step that is evaluated, where they were counted.
    """

    sizes: np.ndarray
    events: np.ndarray
    marks: tuple[tuple[str, int], ...]
    gradients: frozenset[int]
    operations: Mapping[str, int] = field(default_factory=dict)

    def most(self, phase: str | None = None) -> int:
        """Return the peak of live bytes in a phase, over all its passages, or in the whole step."""
        return max(int(self._live[span].max()) for span in self._spans(phase))

    def peak(self) -> Peak:
        """Return the peak of the whole step."""
        (span,) = self._spans(None)
        at = span.start + int(np.argmax(self._live[span]))
        alive = (self._born <= at) & (at < self._died)
        split = {name: int(self._rounded[alive & (self._kinds == i)].sum()) for i, name in enumerate(CATEGORIES)}
        return Peak(int(self._live[at]), split)

    def phases(self) -> tuple[str, ...]:
        """Return the phases of the step, in order of first appearance."""
        names = [name for name, _ in self.marks]
        return tuple(dict.fromkeys(names[names.index(START) + 1 : names.index(END)]))

    def same_course(self, other: "Log") -> bool:
        """Return whether the same storages were born and freed in the same order, whatever their sizes."""
        return bool(np.array_equal(self.events, other.events)) and self.marks == other.marks

    @cached_property
    def _rounded(self) -> np.ndarray:
        """Return [N] the sizes in bytes, rounded up to BLOCK."""
        return -(-self.sizes // BLOCK) * BLOCK

    @cached_property
    def _live(self) -> np.ndarray:
        """Return [E] the live bytes after each event."""
        births = self.events >= 0
        changed = self._rounded[np.where(births, self.events, -1 - self.events)]
        return np.cumsum(np.where(births, changed, -changed))

    @cached_property
    def _born(self) -> np.ndarray:
        """Return [N] the event of each storage's birth."""
        return self._when(self.events, 0)

    @cached_property
    def _died(self) -> np.ndarray:
        """Return [N] the event of each storage's death; E where it lived on."""
        return self._when(-1 - self.events, len(self.events))

    def _when(self, numbers: np.ndarray, otherwise: int) -> np.ndarray:
        """Return [N] the event with each number in `numbers` [E]; `otherwise` where there is none."""
        places = np.full(len(self.sizes), otherwise)
        own = numbers >= 0
        places[numbers[own]] = np.flatnonzero(own)
        return places

    @cached_property
    def _kinds(self) -> np.ndarray:
        """Return [N] each storage's place in CATEGORIES."""
        kinds = np.full(len(self.sizes), CATEGORIES.index("temporaries"))
        ends = [at for _, at in self.marks[1:]] + [len(self.events)]
        for (phase, start), end in zip(self.marks, ends, strict=True):
            if phase in _KEPT:
                kinds[(self._born >= start) & (self._born < end) & (self._died >= end)] = CATEGORIES.index(_KEPT[phase])
        if self.marks:
            kinds[self._born < self.marks[0][1]] = CATEGORIES.index("parameters")
        kinds[list(self.gradients)] = CATEGORIES.index("gradients")
        return kinds

    def _spans(self, phase: str | None) -> list[slice]:
        """Return the events of the passages through a phase; storages that were live at its beginning belong to it."""
        names, starts = [name for name, _ in self.marks], [at for _, at in self.marks]
        first, last = names.index(START), names.index(END)
        if phase is None:
            return [slice(max(starts[first] - 1, 0), max(starts[last], 1))]
        places = [place for place in range(first, last) if names[place] == phase]
        return [slice(max(starts[place] - 1, 0), max(starts[place + 1], 1)) for place in places]
