"""What is hidden in a document and has to be found: its verdicts, its end, or words here and there.

In a document with claims, the verdicts (after a question mark, or after "is") are hidden in most cases, all of them together; in one
that ends "in short , …" this end often is. The rest is the noise of the family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from transformers import AutoTokenizer

from tasks.microworld.corpus import lessons
from tasks.microworld2 import word_ids
from tasks.microworld2.corpus import judged

VERDICTS, ENDS = 0.7, 0.5
"""The share of the documents with verdicts, and with "in short ,", in which these are what is hidden."""


@dataclass(frozen=True)
class Words:
    """The ids of words that mark what can be hidden."""

    answers: frozenset[int]
    before: frozenset[int]
    short: int


@cache
def marks() -> Words:
    """Return the ids of the verdicts, of the words before them, and of "short"."""
    known = AutoTokenizer.from_pretrained(str(word_ids.PATH)).get_vocab()
    answers = frozenset(known[word] for word in (*judged.ANSWERS, *lessons.ANSWERS))
    return Words(answers, frozenset((known["?"], known["is"])), known["short"])


def verdicts(ids: Sequence[int]) -> list[int]:
    """Return the places of the verdicts in a document's word ids [T]."""
    here = marks()
    return [at for at in range(1, len(ids)) if ids[at] in here.answers and ids[at - 1] in here.before]


def hidden_verdicts(ids: Sequence[int], rng: Random) -> list[int]:
    """Return the places of the verdicts where they are what is hidden this time, else []."""
    places = verdicts(ids)
    return places if places and rng.random() < VERDICTS else []


def hidden_end(ids: Sequence[int], rng: Random) -> int:
    """Return the first place of the end in short where it is what is hidden this time, else 0."""
    short = marks().short
    return ids.index(short) + 2 if short in ids[:-3] and rng.random() < ENDS else 0
