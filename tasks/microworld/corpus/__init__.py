"""The corpus that the embedded backbones are pretrained on: documents of one to five sentences, from a seed.

Fixed with the world's version. It teaches the language and its facts; no document has the form of a task's
template, and no task row is copied from it.
"""

import hashlib
from collections.abc import Iterator
from random import Random

from tasks.microworld.corpus import facts, language, opinions, quizzes, recall, relations, stories

SEED = 20220314
SIZE = 200_000
_MAKERS = [
    (maker, weight, module.__name__.rpartition(".")[2])
    for module in (relations, stories, opinions, facts, quizzes, recall, language)
    for maker, weight in module.DOCUMENTS
]


def documents(size: int = SIZE, seed: int = SEED) -> Iterator[str]:
    """Yield `size` documents, the same ones in the same order for the same seed."""
    for _, text in of_kinds(size, seed):
        yield text


def of_kinds(size: int = SIZE, seed: int = SEED) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of what `documents` yields; a kind is the name of the file that makes it."""
    rng = Random(seed)
    weights = [weight for _, weight, _ in _MAKERS]
    for _ in range(size):
        maker, _, kind = rng.choices(_MAKERS, weights)[0]
        yield kind, maker(rng)


def digest(size: int = SIZE, seed: int = SEED) -> str:
    """Return the sha256 over the documents: the corpus' name in a model card."""
    sha = hashlib.sha256()
    for text in documents(size, seed):
        sha.update(text.encode())
        sha.update(b"\n")
    return sha.hexdigest()
