"""Rows as padded tensors, and the order in which training sees them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from harness.text import IGNORED

POOL = 8  # batches that are sorted by length together: shorter padding, nearly random order


@dataclass(frozen=True)
class Batch:
    """inputs, mask: [B, T]. targets: [B, U], IGNORED after the end. labels: [B]. options: [B, C, U]."""

    inputs: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    options: torch.Tensor | None = None

    def need_labels(self) -> torch.Tensor:
        assert self.labels is not None, "this batch was encoded without labels"
        return self.labels

    def need_targets(self) -> torch.Tensor:
        assert self.targets is not None, "this batch was encoded without targets"
        return self.targets

    def to(self, device: torch.device) -> "Batch":
        held = {name: tensor.to(device) for name, tensor in vars(self).items() if tensor is not None}
        return replace(self, **held)


@dataclass(frozen=True)
class Encoded:
    """One split, tokenised once.

    inputs: [N, T] padded; lengths: [N]. targets: [N, U]. labels: [N]. options: [N or 1, C, U].
    truncated: how many rows were longer than the task's limit.
    """

    inputs: torch.Tensor
    lengths: torch.Tensor
    pad: int
    truncated: int
    targets: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    options: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        inputs: Sequence[Sequence[int]],
        pad_id: int,
        truncated: int,
        targets: Sequence[Sequence[int]] | None = None,
        labels: torch.Tensor | None = None,
        options: torch.Tensor | None = None,
    ) -> "Encoded":
        """From lists of token ids."""
        lengths = torch.tensor([len(row) for row in inputs])
        padded = None if targets is None else pad(targets, IGNORED)
        return cls(pad(inputs, pad_id), lengths, pad_id, truncated, padded, labels, options)

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def tokens(self) -> torch.Tensor:
        """[N] tokens of each row, input and target."""
        return self.lengths if self.targets is None else self.lengths + (self.targets != IGNORED).sum(dim=1)

    def batch(self, rows: Sequence[int] | np.ndarray) -> Batch:
        """These rows, padded to the longest of them."""
        index = torch.as_tensor(rows)
        lengths = self.lengths[index]
        width = int(lengths.max())
        options = self.options
        if options is not None:
            options = options[index] if len(options) > 1 else options.expand(len(index), -1, -1)
        return Batch(
            inputs=self.inputs[index, :width],
            mask=(torch.arange(width) < lengths[:, None]).long(),
            targets=None if self.targets is None else _trim(self.targets[index]),
            labels=None if self.labels is None else self.labels[index],
            options=options,
        )

    def by_length(self, size: int) -> Iterator[list[int]]:
        """All rows in groups of at most `size` of like length, for evaluation."""
        order = torch.argsort(self.lengths, stable=True).tolist()
        for start in range(0, len(order), size):
            yield order[start : start + size]


def pad(rows: Sequence[Sequence[int]], value: int, width: int | None = None) -> torch.Tensor:
    """[N, T] with `value` after the end of each row."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    table = np.full((len(rows), width or int(lengths.max())), value, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(row) for row in rows])
    return torch.from_numpy(table)


def _trim(targets: torch.Tensor) -> torch.Tensor:
    used = (targets != IGNORED).any(dim=0)
    return targets[:, : int(used.sum())]


class Order:
    """Which rows step `step` (from 0) trains on: a function of the seed and the step, the same for every method.

    The rows run through seeded permutations of the split, epoch after epoch; POOL batches at a time are sorted by
    length, cut, and shuffled.
    """

    def __init__(self, lengths: torch.Tensor, batch_size: int, seed: int) -> None:
        self._lengths = lengths.numpy()
        self._size = batch_size
        self._seed = seed
        self._pool: tuple[int, np.ndarray] = (-1, np.empty(0))

    def rows(self, step: int) -> np.ndarray:
        """[B] row numbers."""
        number, place = divmod(step, POOL)
        if self._pool[0] != number:
            self._pool = (number, self._fill(number))
        rows: np.ndarray = self._pool[1][place]
        return rows

    def _fill(self, number: int) -> np.ndarray:
        """[POOL, B] the batches of one pool."""
        span = POOL * self._size
        n = len(self._lengths)
        first, last = number * span // n, ((number + 1) * span - 1) // n
        stream = [self._generator(0, epoch).permutation(n) for epoch in range(first, last + 1)]
        rows = np.concatenate(stream)[number * span - first * n :][:span]
        rows = rows[np.argsort(self._lengths[rows], kind="stable")].reshape(POOL, self._size)
        return self._generator(1, number).permutation(rows)

    def _generator(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, kind, number))
