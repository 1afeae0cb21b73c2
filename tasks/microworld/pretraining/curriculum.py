"""What a backbone reads, and in which order: its primer, the corpus, its lessons; a batch for every step.

Step k's batch and noise follow from (seed, k) alone, so a run is the same whether or not it was interrupted.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random

import torch
from transformers import AutoTokenizer

from tasks.microworld import corpus, vocabulary
from tasks.microworld.corpus import lessons, primer
from tasks.microworld.pretraining.backbones import Backbone

STAGES: Mapping[str, Sequence[tuple[Callable[[Random], str], int]]] = {
    "echo": primer.ECHO,
    "recall": primer.RECALL,
    "lessons": lessons.DOCUMENTS,
    "delayed": lessons.DELAYED,
}
"""Makers of documents and how often each; the corpus has its own."""
POOL = 16
"""Batches that are sorted by length together, to pad little. Not where there is a primer: if all rows of a batch are as
long, the word to copy is always as far back, and looking it up by what it stands beside is hardly learnt (measured on
micro-llama-nano after 3,000 steps: a value listed beside a key is repeated in 25 % of the cases, else in 73 %)."""


class Corpus:
    """Tokenised documents and the batch of every step."""

    def __init__(self, documents: Iterable[str], batch: int, seed: int, pool: int) -> None:
        tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
        self._ids = tokenizer(list(documents), add_special_tokens=False)["input_ids"]
        self._batch, self._seed, self._size = batch, seed, pool
        self._epoch, self._order = -1, list[int]()

    def _pool(self, index: int) -> list[int]:
        per_epoch = len(self._ids) // (self._batch * self._size)
        epoch, at = divmod(index, per_epoch)
        if epoch != self._epoch:
            self._order = list(range(len(self._ids)))
            Random(f"{self._seed} epoch {epoch}").shuffle(self._order)
            self._epoch = epoch
        size = self._batch * self._size
        return sorted(self._order[at * size : (at + 1) * size], key=lambda i: len(self._ids[i]))

    def step(self, k: int) -> tuple[list[list[int]], Random]:
        """Return the documents of step k (from 0) as word ids, and the step's own random numbers."""
        pool, place = divmod(k, self._size)
        slots = list(range(self._size))
        Random(f"{self._seed} pool {pool}").shuffle(slots)
        first = slots[place] * self._batch
        rows = self._pool(pool)[first : first + self._batch]
        return [self._ids[i] for i in rows], Random(f"{self._seed} step {k}")


class Curriculum:
    """The stages of a backbone's reading, one after the other."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._names = [*backbone.primer, "corpus", *backbone.lessons]
        self._ends = [*accumulate(backbone.primer.values()), *lesson_starts(backbone)]
        tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
        self._answers = frozenset(tokenizer(" ".join(lessons.ANSWERS), add_special_tokens=False)["input_ids"])
        self._stage = -1
        self._corpus: Corpus | None = None

    def step(self, k: int) -> tuple[list[list[int]], Random, frozenset[int]]:
        """Return what Corpus.step does, with k counted from the first step of all, and the only words to learn.

        These are the words whose loss counts in a document of the lessons that holds some of them.
        """
        stage = bisect_right(self._ends, k)
        if stage != self._stage:
            pool, backbone = 1 if self._backbone.primer else POOL, self._backbone
            read = documents(self._names[stage], backbone.seed)
            self._stage, self._corpus = stage, Corpus(read, backbone.batch, backbone.seed, pool)
        assert self._corpus
        rows, rng = self._corpus.step(k - (self._ends[stage - 1] if stage else 0))
        return rows, rng, self._answers if k >= self._backbone.steps else frozenset()


def lesson_starts(backbone: Backbone) -> list[int]:
    """Return the first step of each stage of lessons, and behind them the step after the last one."""
    return [*accumulate(backbone.lessons.values(), initial=backbone.steps)]


def documents(stage: str, seed: int) -> Iterator[str]:
    """Yield the documents of a stage, as many as the corpus has, the same ones in the same order for the same seed."""
    if stage == "corpus":
        yield from corpus.documents()
        return
    rng = Random(f"{seed} {stage}")
    makers, weights = zip(*STAGES[stage], strict=True)
    for _ in range(corpus.SIZE):
        yield rng.choices(makers, weights)[0](rng)


def pad(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Return lists of ids as one tensor [B, T], filled up with `fill`."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])
