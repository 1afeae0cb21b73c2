"""Rows as padded tensors, and the order in which training sees them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from harness.models.text_tokens import IGNORED

CUT_TOKENS = 1024  # of padding, about what one more forward pass costs a small model
POOL = 8  # batches that are sorted by length together: shorter padding, nearly random order


@dataclass(frozen=True)
class Batch:
    """Rows as padded tensors. C is the largest number of options of a row, U the most tokens of an answer.

    inputs: [B, T] token ids. mask: [B, T], 1 where a token stands. targets: [B, U] token ids, IGNORED after the end.
    labels: [B], classes, right options or numbers. options: [B, C, U] token ids, IGNORED where there is none.
    """

    inputs: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    options: torch.Tensor | None = None

    def need_labels(self) -> torch.Tensor:
        """Return the labels: [B]."""
        assert self.labels is not None, "this batch was encoded without labels"
        return self.labels

    def need_targets(self) -> torch.Tensor:
        """Return the targets: [B, U]."""
        assert self.targets is not None, "this batch was encoded without targets"
        return self.targets

    def need_options(self) -> torch.Tensor:
        """Return the options: [B, C, U]."""
        assert self.options is not None, "this batch was encoded without options"
        return self.options

    def option_groups(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (places [G] among the B C options, tokens [G, W]) of options of like length, in their own order.

        In each group the shortest is more than half as long as the longest, so that padding never doubles the work.
        Options that a row does not have are left out.
        """
        flat = self.need_options().flatten(0, 1)
        lengths = (flat != IGNORED).sum(dim=1)
        while width := int(lengths.max()):
            places = (2 * lengths > width).nonzero().flatten()
            yield places, flat[places, :width]
            lengths = lengths.index_fill(0, places, 0)

    def side_by_side(self) -> torch.Tensor:
        """Return [B, S], in each row the places of all tokens of its options among the C U, in their own order.

        S is the most tokens that a row's options have together. A row with fewer has places without a token after them.
        """
        there = (self.need_options() != IGNORED).flatten(1)
        most = int(there.sum(dim=1).max())
        return torch.argsort((~there).byte(), dim=1, stable=True)[:, :most]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        moved = {name: tensor.to(device) for name, tensor in vars(self).items() if tensor is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class Encoded:
    """One split, tokenised once.

    inputs: [N, T] padded; lengths: [N]. targets: [N, U]. labels: [N]. options: [N or 1, C, U].
    truncated: how many rows were longer than the task's limit. notes: name -> how many rows have an answer of which a
    reader of the scores should know, such as one that was truncated.
    """

    inputs: torch.Tensor
    lengths: torch.Tensor
    pad: int
    truncated: int
    targets: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    options: torch.Tensor | None = None
    notes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        inputs: Sequence[Sequence[int]],
        pad_id: int,
        truncated: int,
        targets: Sequence[Sequence[int]] | None = None,
        labels: torch.Tensor | None = None,
        options: torch.Tensor | None = None,
        notes: Mapping[str, int] | None = None,
    ) -> "Encoded":
        """Return the padded split for lists of token ids, labels: [N] and options: [N or 1, C, U]."""
        lengths = torch.tensor([len(row) for row in inputs])
        padded = None if targets is None else pad(targets, IGNORED)
        return cls(pad(inputs, pad_id), lengths, pad_id, truncated, padded, labels, options, notes or {})

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def evaluation_tokens(self) -> torch.Tensor:
        """Return [N] the number of tokens that an evaluation of each row reads: its input and all its options. Where it
        has no options, its target counts.
        """
        if self.options is None:
            return self.tokens
        return self.lengths + (self.options != IGNORED).flatten(1).sum(dim=1)

    @cached_property
    def tokens(self) -> torch.Tensor:
        """Return [N] the number of tokens of each row, input and target."""
        return self.lengths if self.targets is None else self.lengths + (self.targets != IGNORED).sum(dim=1)

    def batch(self, rows: Sequence[int] | np.ndarray) -> Batch:
        """Return these rows, padded to the longest of them."""
        index = torch.as_tensor(rows)
        lengths = self.lengths[index]
        width = int(lengths.max())
        options = self.options
        if options is not None:
            options = _trim_options(options[index]) if len(options) > 1 else options.expand(len(index), -1, -1)
        return Batch(
            inputs=self.inputs[index, :width],
            mask=(torch.arange(width) < lengths[:, None]).long(),
            targets=None if self.targets is None else _trim(self.targets[index]),
            labels=None if self.labels is None else self.labels[index],
            options=options,
        )

    def by_length(self, tokens: int) -> Iterator[list[int]]:
        """Yield all row numbers in groups of rows of similar length, for evaluation.

        tokens: the most that a group has. Padding counts, so each row of a group counts as much as its longest one. A
        row with more tokens is a group of its own.
        """
        order = torch.argsort(self.lengths, stable=True).numpy()
        lengths, read = self.lengths.numpy()[order], self.evaluation_tokens.numpy()[order]
        start, most = 0, 0
        for place, count in enumerate(read):
            most = max(most, count)
            if place > start and most * (place + 1 - start) > tokens:
                yield from _cut(order[start:place], lengths[start:place])
                start, most = place, count
        yield from _cut(order[start:], lengths[start:])


def _cut(rows: np.ndarray, lengths: np.ndarray) -> Iterator[list[int]]:
    """Yield the rows, whose lengths ascend, whole or in parts of like length.

    They are cut where that saves most padding, if it saves more than CUT_TOKENS and a quarter of all they would have.
    """
    first = np.arange(len(rows))  # how many rows come before the cut
    saved = first * (lengths[-1] - lengths[first - 1])
    place = int(saved.argmax())
    if saved[place] <= max(CUT_TOKENS, len(rows) * lengths[-1] // 4):
        yield rows.tolist()
        return
    yield from _cut(rows[:place], lengths[:place])
    yield from _cut(rows[place:], lengths[place:])


def pad(rows: Sequence[Sequence[int]], value: int, width: int | None = None) -> torch.Tensor:
    """Return the rows as one table, [N, T], with `value` after the end of each. width: T; None for the longest row."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    table = np.full((len(rows), width or int(lengths.max())), value, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(row) for row in rows])
    return torch.from_numpy(table)


def _trim(targets: torch.Tensor) -> torch.Tensor:
    used = (targets != IGNORED).any(dim=0)
    return targets[:, : int(used.sum())]


def _trim_options(options: torch.Tensor) -> torch.Tensor:
    """Return options [B, C, U] with no more options and tokens than a row has at most."""
    used = options != IGNORED
    return options[:, : int(used.any(dim=2).sum(dim=1).max()), : int(used.sum(dim=2).max())]


class Order:
    """Which rows step `step` (from 0) trains on: a function of the seed and the step, the same for every method.

    The rows run through seeded permutations of the split, epoch after epoch: after any step the counts of two rows
    differ by at most one. A batch holds as many different rows as it can, so the batch in which one epoch ends and the
    next begins has no row twice. Within an epoch POOL batches at a time (all of them, where an epoch has fewer) are
    sorted by length, cut, and shuffled.
    """

    def __init__(self, lengths: torch.Tensor, batch_size: int, seed: int) -> None:
        self._lengths = lengths.numpy()
        self._size = batch_size
        self._seed = seed
        self._pool: tuple[int, np.ndarray] = (-1, np.empty(0))
        self._epochs: dict[int, np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """Return [B] the row numbers of a step."""
        if len(self._lengths) < POOL * self._size:
            return self._of_epochs(step)
        number, place = divmod(step, POOL)
        if self._pool[0] != number:
            self._pool = (number, self._fill(number))
        rows: np.ndarray = self._pool[1][place]
        return rows

    def _fill(self, number: int) -> np.ndarray:
        """Return [POOL, B] the batches of one pool, in which at most one epoch ends."""
        span, n = POOL * self._size, len(self._lengths)
        epoch, start = divmod(number * span, n)
        before = self._permutation(epoch)[start : start + span]
        draw = self._generator(1, number)
        if len(before) == span:
            return self._mixed(before, draw)
        after, ends = self._permutation(epoch + 1)[: span - len(before)], len(before) % self._size
        _apart(before, after, ends, (self._size - ends) % self._size)
        cut = len(before) - ends
        parts = [self._mixed(before[:cut], draw)]
        if ends:
            parts.append(np.concatenate((before[cut:], after[: self._size - ends]))[None])
            after = after[self._size - ends :]
        return np.concatenate((*parts, self._mixed(after, draw)))

    def _of_epochs(self, step: int) -> np.ndarray:
        """Return [B] the rows of a step on a split smaller than a pool: a batch may reach over several epochs."""
        epoch, start = divmod(step * self._size, len(self._lengths))
        orders: list[np.ndarray] = []
        left = self._size
        while left:
            rows = self._epoch(epoch)[start : start + left]
            orders.append(rows)
            epoch, start, left = epoch + 1, 0, left - len(rows)
        return np.concatenate(orders)

    def _epoch(self, number: int) -> np.ndarray:
        """Return [N] the rows of one epoch in the order in which it is trained on.

        Where a batch begins in the epoch before, the end of that epoch decides which rows may come first. So the epochs
        are computed one from the other, from the last one that began with a batch.
        """
        first, n = number, len(self._lengths)
        while first not in self._epochs and first * n % self._size:
            first -= 1
        for epoch in range(first, number + 1):
            if epoch not in self._epochs:
                self._epochs = {**dict(list(self._epochs.items())[-1:]), epoch: self._arranged(epoch)}
        return self._epochs[number]

    def _arranged(self, number: int) -> np.ndarray:
        n = len(self._lengths)
        rows, draw = self._permutation(number), self._generator(1, number)
        ends = min(number * n % self._size, n)  # rows of the epoch before in the batch that this one begins in
        head = min(-number * n % self._size, n)
        if ends:
            _apart(self._epochs[number - 1][-ends:], rows, ends, head)
        whole = (n - head) // self._size * self._size
        rows[head : head + whole] = self._mixed(rows[head : head + whole], draw).reshape(-1)
        return rows

    def _mixed(self, rows: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Return [batches, B] the rows in whole batches: rows of like length together, the batches in a drawn order."""
        batches = rows[np.argsort(self._lengths[rows], kind="stable")].reshape(-1, self._size)
        return draw.permutation(batches)

    def _permutation(self, epoch: int) -> np.ndarray:
        return self._generator(0, epoch).permutation(len(self._lengths))

    def _generator(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, kind, number))


def _apart(before: np.ndarray, after: np.ndarray, ends: int, head: int) -> None:
    """Swap rows, in place, until the last `ends` of `before` and the first `head` of `after` share as few as can be.

    A shared one changes places with the next of `after` that the batch does not hold, else with one of `before`.
    """
    batch = set(before[len(before) - ends :].tolist())
    shared = [place for place in range(head) if int(after[place]) in batch]
    free = [place for place in range(head, len(after)) if int(after[place]) not in batch]
    for place, other in zip(shared, free, strict=False):
        after[[place, other]] = after[[other, place]]
    begun = set(after[:head].tolist())
    shared = [place for place in range(len(before) - ends, len(before)) if int(before[place]) in begun]
    free = [place for place in range(len(before) - ends) if int(before[place]) not in begun]
    for place, other in zip(shared, free, strict=False):
        before[[place, other]] = before[[other, place]]
