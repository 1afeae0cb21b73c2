"""The corpus of world 2, in stages: look-ups (a causal backbone echoes lists first), stories, claims that are judged.

Fixed with the world's version. No document has the form of a task's template. One document in fifty is held out, by its
own hash, from every stage: that text measures what a backbone forgets.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from tasks.microworld.corpus import facts, language, lessons, opinions, primer, quizzes, recall, relations, stories
from tasks.microworld2.corpus import judged, reviewed, telling

SEED = 20261129
SIZE = 200_000
"""Documents of a stage; a longer stage reads them again in another order."""
Maker = Callable[[Random], str]


def _world(rng: Random) -> str:
    makers, weights = zip(*_WORLD, strict=True)
    document: str = rng.choices(makers, weights)[0](rng)
    return document


_WORLD = [
    entry for module in (relations, stories, opinions, facts, quizzes, recall, language) for entry in module.DOCUMENTS
]


def _of(module_documents: Sequence[tuple[Maker, int]]) -> Maker:
    makers, weights = zip(*module_documents, strict=True)
    return lambda rng: rng.choices(makers, weights)[0](rng)


STAGES: Mapping[str, Mapping[str, tuple[Maker, int]]] = {
    "echo": {"lists": (primer.echo, 1)},
    "look-ups": {"lists": (_of(primer.RECALL), 1)},
    "stories": {
        "world": (_world, 50),
        "reviews": (_of(reviewed.DOCUMENTS), 14),
        "telling": (_of(telling.DOCUMENTS), 24),
        "claims": (_of(judged.DOCUMENTS), 12),
        "options": (_of(lessons.DOCUMENTS), 6),
    },
    "claims": {
        "world": (_world, 20),
        "reviews": (_of(reviewed.DOCUMENTS), 8),
        "telling": (_of(telling.DOCUMENTS), 12),
        "claims": (_of(judged.DOCUMENTS), 60),
        "options": (_of(lessons.DOCUMENTS), 12),
    },
}
"""Stage -> kind of document -> its maker, and how often it is drawn."""


def held_out(text: str) -> bool:
    """Return whether a document belongs to the held-out text, one in fifty."""
    return hashlib.sha256(text.encode()).digest()[0] % 50 == 0


def documents(stage: str, size: int = SIZE, seed: int = SEED) -> Iterator[str]:
    """Yield `size` documents of a stage, the same ones in the same order for the same seed, none of them held out."""
    rng = Random(f"microworld 2 {seed} {stage}")
    makers, weights = zip(*STAGES[stage].values(), strict=True)
    left = size
    while left:
        text = rng.choices(makers, weights)[0](rng)
        if not held_out(text):
            left -= 1
            yield text


def held_out_documents(size: int = 256, seed: int = SEED) -> Mapping[str, list[str]]:
    """Return kind of document -> `size` held-out documents of that kind, distinct."""
    rng = Random(f"microworld 2 {seed} held out")
    kinds = {kind: maker for stage in STAGES.values() for kind, (maker, _) in stage.items()}
    drawn: dict[str, list[str]] = {}
    for kind, maker in kinds.items():
        texts = dict[str, None]()
        while len(texts) < size:
            text = maker(rng)
            if held_out(text):
                texts[text] = None
        drawn[kind] = list(texts)
    return drawn


def digest(size: int = SIZE, seed: int = SEED) -> str:
    """Return the sha256 over the documents of all stages: the corpus' name in a model card."""
    sha = hashlib.sha256()
    for stage in STAGES:
        for text in documents(stage, size, seed):
            sha.update(text.encode() + b"\n")
    return sha.hexdigest()
