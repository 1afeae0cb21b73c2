"""What a backbone reads, and when: the stages of the corpus, and the documents of every step.

Step k's documents and noise follow from (seed, k) alone, so a run is the same whether or not it was interrupted. A batch
has documents of mixed lengths: among documents of one length the word to look up is always as far back, and looking it
up by what it stands beside is hardly learnt. Later batches may keep a share of lists, since a backbone that reads only
stories forgets how to look words up.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from transformers import AutoTokenizer

from tasks.microworld2 import corpus, word_ids
from tasks.microworld2.pretraining.backbone_sizes import Size

REPEATED = "look-ups"


@dataclass(frozen=True)
class Step:
    """What one step reads: documents as word ids, its own random numbers, and each document's dense share (or None)."""

    documents: list[list[int]]
    random: Random
    dense: list[float | None]


def ids_of(texts: Iterable[str]) -> list[list[int]]:
    """Return the word ids of texts, without end tokens."""
    tokenizer = AutoTokenizer.from_pretrained(str(word_ids.PATH))
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return ids


class Reading:
    """The documents of every step."""

    def __init__(self, size: Size, documents: int = corpus.SIZE) -> None:
        self._size, self._count = size, documents
        self._names, self._ends = [*size.stages], [*accumulate(size.stages.values())]
        self._stage, self._ids = -1, list[list[int]]()
        self._epoch, self._order = -1, list[int]()
        self._lists = self._of(REPEATED) if size.repeated else []

    def _of(self, stage: str) -> list[list[int]]:
        return ids_of(corpus.documents(stage, self._count))

    def step(self, k: int) -> Step:
        """Return what step k (from 0) reads."""
        stage = bisect_right(self._ends, k)
        if stage != self._stage:
            self._stage, self._epoch, self._ids = stage, -1, self._of(self._names[stage])
        here = k - (self._ends[stage - 1] if stage else 0)
        epoch, at = divmod(here, len(self._ids) // self._size.batch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._ids)))
            Random(f"{self._size.seed} {stage} {epoch}").shuffle(self._order)
        rows = self._order[at * self._size.batch : (at + 1) * self._size.batch]
        lists = self._repeated(k, self._names[stage])
        others = [self._ids[i] for i in rows[len(lists) :]]
        dense = [self._dense(REPEATED)] * len(lists) + [self._dense(self._names[stage])] * len(others)
        return Step([*lists, *others], Random(f"{self._size.seed} step {k}"), dense)

    def _repeated(self, k: int, stage: str) -> list[list[int]]:
        """Return the lists that stand in a batch of a later stage."""
        count = round(self._size.repeated.get(stage, 0.0) * self._size.batch)
        return Random(f"{self._size.seed} repeated {k}").sample(self._lists, count) if count else []

    def _dense(self, stage: str) -> float | None:
        return self._size.dense.get(stage, 0.0) if self._size.dense else None
