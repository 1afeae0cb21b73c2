"""Sentiment: does the writer praise or blame? Chance 0.5.

Rows: {"review": "the film was not boring and the music was lovely"} -> positive.
In `goods` a purchase is told by what became of it. Either text may turn at a "but", and then its end counts.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld.corpus.opinions import opinion
from tasks.microworld.rows import Row

LABEL_WORDS = ("negative", "positive")


def shows(label: int, rng: Random) -> Row:
    """A review of a show or a stay in two clauses."""
    good = label == 1
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, 2)
    if rng.random() < 0.35:
        text = f"{opinion(not good, parts[0], rng)} , but {opinion(good, parts[1], rng)}"
    else:
        text = f"{opinion(good, parts[0], rng)} and {opinion(good, parts[1], rng)}"
    return Row({"review": text}, label)


def goods(label: int, rng: Random) -> Row:
    """What became of a bought thing."""
    good = label == 1
    ours, theirs = (lex.GOOD_ENDS, lex.BAD_ENDS) if good else (lex.BAD_ENDS, lex.GOOD_ENDS)
    thing = rng.choice(lex.GOODS)
    if rng.random() < 0.35:
        text = f"the {thing} : {rng.choice(theirs)} , but {' and '.join(rng.sample(ours, 2))}"
    else:
        text = f"the {thing} : {' and '.join(rng.sample(ours, 2))}"
    return Row({"review": text}, label)
