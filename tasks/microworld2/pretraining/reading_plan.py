"""What a backbone reads, and when: the stages of the corpus, and the documents of every step.

Step k's documents and noise follow from (seed, k) alone, so a run is the same whether or not it was interrupted. A batch
has documents of mixed lengths: among documents of one length the word to look up is always as far back, and looking it
up by what it stands beside is hardly learnt.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from random import Random

from transformers import AutoTokenizer

from tasks.microworld2 import corpus, word_ids
from tasks.microworld2.pretraining.backbone_sizes import Size


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

    def step(self, k: int) -> tuple[list[list[int]], Random, float | None]:
        """Return the documents of step k (from 0) as word ids, the step's own random numbers, and the dense share."""
        stage = bisect_right(self._ends, k)
        if stage != self._stage:
            self._stage, self._epoch = stage, -1
            self._ids = ids_of(corpus.documents(self._names[stage], self._count))
        here = k - (self._ends[stage - 1] if stage else 0)
        epoch, at = divmod(here, len(self._ids) // self._size.batch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._ids)))
            Random(f"{self._size.seed} {stage} {epoch}").shuffle(self._order)
        rows = self._order[at * self._size.batch : (at + 1) * self._size.batch]
        dense = self._size.dense.get(self._names[stage], 0.0) if self._size.dense else None
        return [self._ids[i] for i in rows], Random(f"{self._size.seed} step {k}"), dense
