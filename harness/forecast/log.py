"""What a step leaves to be read: which storage came and went when. See live.py for who writes it.

What a storage was for may depend on what became of it:

- parameters: there before anything ran (buffers included).
- gradients: the writer was told so.
- activations: born in a forward pass and alive at its end, the batch included.
- optimizer: born while the optimiser moved the parameters and alive afterwards.
- temporaries: everything else; with checkpointing, what is computed again.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK = 512
"""Bytes that CUDA's caching allocator rounds up to; the unit of every figure here."""
CATEGORIES = ("parameters", "gradients", "optimizer", "activations", "temporaries")
START, END = "start", "end"
"""Marks around the step that is judged; what is before it made the optimiser's state."""
_KEPT = {"forward": "activations", "update": "optimizer"}


@dataclass(frozen=True)
class Peak:
    """bytes: the most that lived at once. split: category -> bytes at that moment."""

    bytes: int
    split: dict[str, int]


@dataclass(frozen=True)
class Log:
    """sizes: [N] bytes of each storage, as asked for. events: [E] its number at birth, -1 - number at death.

    marks: (phase, its first event), in order. gradients: numbers of storages.
    """

    sizes: np.ndarray
    events: np.ndarray
    marks: tuple[tuple[str, int], ...]
    gradients: frozenset[int]

    def most(self, phase: str | None = None) -> int:
        """Bytes at the peak of a phase, all its passages, or of the whole step."""
        return max(int(self._live[span].max()) for span in self._spans(phase))

    def peak(self) -> Peak:
        """Of the whole step."""
        (span,) = self._spans(None)
        at = span.start + int(np.argmax(self._live[span]))
        alive = (self._born <= at) & (at < self._died)
        split = {name: int(self._rounded[alive & (self._kinds == i)].sum()) for i, name in enumerate(CATEGORIES)}
        return Peak(int(self._live[at]), split)

    def phases(self) -> tuple[str, ...]:
        """Of the step, in order of first appearance."""
        names = [name for name, _ in self.marks]
        return tuple(dict.fromkeys(names[names.index(START) + 1 : names.index(END)]))

    def same_course(self, other: "Log") -> bool:
        """Whether the same storages came and went in the same order, whatever their sizes."""
        return bool(np.array_equal(self.events, other.events)) and self.marks == other.marks

    @cached_property
    def _rounded(self) -> np.ndarray:
        """[N]"""
        return -(-self.sizes // BLOCK) * BLOCK

    @cached_property
    def _live(self) -> np.ndarray:
        """[E] bytes that live after each event."""
        births = self.events >= 0
        changed = self._rounded[np.where(births, self.events, -1 - self.events)]
        return np.cumsum(np.where(births, changed, -changed))

    @cached_property
    def _born(self) -> np.ndarray:
        """[N] the event of its birth."""
        return self._when(self.events, 0)

    @cached_property
    def _died(self) -> np.ndarray:
        """[N] the event of its death; E where it lived on."""
        return self._when(-1 - self.events, len(self.events))

    def _when(self, numbers: np.ndarray, otherwise: int) -> np.ndarray:
        places = np.full(len(self.sizes), otherwise)
        own = numbers >= 0
        places[numbers[own]] = np.flatnonzero(own)
        return places

    @cached_property
    def _kinds(self) -> np.ndarray:
        """[N] places in CATEGORIES."""
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
        """Events of the passages through a phase; what lived when it began belongs to it."""
        names, starts = [name for name, _ in self.marks], [at for _, at in self.marks]
        first, last = names.index(START), names.index(END)
        if phase is None:
            return [slice(max(starts[first] - 1, 0), max(starts[last], 1))]
        places = [place for place in range(first, last) if names[place] == phase]
        return [slice(max(starts[place] - 1, 0), max(starts[place + 1], 1)) for place in places]
