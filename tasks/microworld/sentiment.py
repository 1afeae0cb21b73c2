"""Sentiment: does the writer praise or blame? Chance 0.5.

Rows: {"review": "the film was not boring and the music was lovely"} -> positive. In `goods` a purchase is described by
what became of it and by opinions. A text may turn at a "but": then its end counts.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld.corpus.opinions import opinion
from tasks.microworld.rows import Row

LABEL_WORDS = ("negative", "positive")


def shows(label: int, rng: Random) -> Row:
    """Return a review of a show or a stay in two clauses."""
    good = label == 1
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, 2)
    if rng.random() < 0.35:
        text = f"{opinion(not good, parts[0], rng)} , but {opinion(good, parts[1], rng)}"
    else:
        text = f"{opinion(good, parts[0], rng)} and {opinion(good, parts[1], rng)}"
    return Row({"review": text}, label)


def goods(label: int, rng: Random) -> Row:
    """Return a review of a purchase in two clauses: what became of it, and its owner's opinion. Half the texts turn."""
    good, turns = label == 1, rng.random() < 0.5
    thing = rng.choice(lex.GOODS)
    first, last = _owner(good != turns, thing, rng), _owner(good, thing, rng)
    return Row({"review": f"{first} {', but' if turns else 'and'} {last}"}, label)


def _owner(good: bool, thing: str, rng: Random) -> str:
    """Return one clause of an owner: what happened, or an opinion."""
    if rng.random() < 0.5:
        return rng.choice(lex.GOOD_ENDS if good else lex.BAD_ENDS)
    return opinion(good, thing, rng)
