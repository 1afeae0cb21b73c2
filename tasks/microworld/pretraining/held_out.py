"""Held-out text of the embedded backbones: documents as those of the corpus, none of which is in the corpus.

The documents lie in held_out.txt, because finding them takes the whole corpus. This writes them anew:
python -m tasks.microworld.pretraining.held_out
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tasks.microworld import corpus, vocabulary
from tasks.microworld.pretraining.backbones import BACKBONES

PATH = Path(__file__).parent / "held_out.txt"
COUNT = 256
SEED = corpus.SEED + 1
Pair = tuple[list[int], list[int]]
EOS = vocabulary.SPECIALS.index("</s>")


def documents() -> list[str]:
    """Return the documents."""
    return PATH.read_text(encoding="utf-8").splitlines()


def find() -> list[str]:
    """Return the first COUNT documents of another seed that the corpus does not have."""
    known = set(corpus.documents())
    made = (text for text in corpus.documents(4 * COUNT, SEED) if text not in known)
    return list(dict.fromkeys(made))[:COUNT]


def pairs(model: str, encode: Callable[[str], Sequence[int]]) -> list[Pair]:
    """Return what a backbone reads and what it is to say of each document, as in its pretraining; empty for others.

    An encoder-decoder gets a document with noise (span_corruption.py), a decoder its first word (causal_lm.py, whose
    loss leaves that word out too).
    """
    if model not in BACKBONES:
        return []
    rows = [list(encode(text)) for text in documents()]
    if BACKBONES[model].family == "t5":
        from tasks.microworld.pretraining import span_corruption  # it imports torch

        return [span_corruption.corrupt(ids, Random(f"held out {place}")) for place, ids in enumerate(rows)]
    return [(ids[:1], [*ids[1:], EOS]) for ids in rows]


if __name__ == "__main__":
    PATH.write_text("\n".join(find()) + "\n", encoding="utf-8")
