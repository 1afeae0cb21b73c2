"""What a causal backbone reads before the corpus: lists of words that are repeated, then pairs looked up both ways.

A small LLaMA does not learn to look things up from the corpus alone: after 12,000 steps it repeats a value listed
beside a key in 45 % of the cases. T5 does, since its relative positions find a word's neighbour at once. So it has no
primer.
"""

from functools import cache
from random import Random

from tasks.microworld import corpus
from tasks.microworld.corpus import recall


@cache
def words() -> list[str]:
    """Return all words of the corpus, as far as its first documents show them."""
    return sorted({word for text in corpus.documents(3000) for word in text.split()})


def echo(rng: Random) -> str:
    """Return words of the corpus twice, such as "needle park three tom needle park three tom"."""
    listed = rng.sample(words(), rng.randrange(4, 24))
    return " ".join(listed * (3 if len(listed) < 10 else 2))


def mirrored(rng: Random) -> str:
    """Return a document such as: pear red , dog blue . blue dog , red pear ."""
    shown, repeated = recall.pairs(rng).removesuffix(" .").split(" . ")
    turned = (" ".join(reversed(pair.split())) for pair in repeated.split(" , "))
    return f"{shown} . {' , '.join(turned)} ."


ECHO = ((echo, 1),)
RECALL = ((echo, 26), (mirrored, 10), *recall.DOCUMENTS)
