"""Sentiment, three tasks. Chance 1/2.

Rows: {"review": "although the plot was dull and i found the music awful , the play was not boring"} -> positive. The level
is where the side that counts stands: after the last "but", in the main clause, or in what "i" say beside one or two others.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.corpus.opinions import opinion
from tasks.microworld.rows import Row

LABEL_WORDS = ("negative", "positive")


def polarity(label: int, level: int, rng: Random) -> Row:
    """Return a review of a show or a stay in three clauses."""
    good = label == 1
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, 3)
    ours = [opinion(good, part, rng) for part in parts]
    theirs = [opinion(not good, part, rng) for part in parts]
    if level >= 3:
        clauses = [_heard(not good, parts[0], rng), _heard(rng.random() < 0.5, parts[1], rng)][: level - 2]
        return Row({"review": " and ".join(rng.sample([*clauses, ours[2]], level - 1))}, label)
    if level == 1:
        first, second = rng.choice(((theirs[0], theirs[1]), (theirs[0], ours[1]), (ours[0], theirs[1])))
        return Row({"review": f"{first} and {second} , but {ours[2]}"}, label)
    against = rng.choice((1, 2))
    aside, main = f"although {' and '.join(theirs[:against])}", " and ".join(ours[against:])
    return Row({"review": rng.choice((f"{aside} , {main}", f"{main} , {aside}"))}, label)


def _heard(good: bool, part: str, rng: Random) -> str:
    """Return what somebody else found, praise or blame."""
    return f"{rng.choice(world.PEOPLE)} found the {part} {rng.choice(lex.PRAISE if good else lex.BLAME)}"


def purchases(label: int, level: int, rng: Random) -> Row:
    """Return a review of something that was bought: what came of it, with a turn, or in the wrong order of time."""
    good, thing = label == 1, rng.choice(lex.GOODS)
    start = f"on {rng.choice(lex.DAYS)} i bought {world.a(thing)}"
    ours, theirs = _owner(good, thing, rng), _owner(not good, thing, rng)
    if level == 1:
        return Row({"review": f"{start} . {ours} and {_owner(good, thing, rng)}"}, label)
    if level == 2:
        return Row({"review": f"{start} . {theirs} , but {ours}"}, label)
    sentences = [f"at first {theirs}", f"in the end {ours}", f"later {_owner(rng.random() < 0.5, thing, rng)}"]
    return Row({"review": " . ".join([start, *rng.sample(sentences, 3)])}, label)


def _owner(good: bool, thing: str, rng: Random) -> str:
    """Return one clause of an owner: what happened, or an opinion."""
    if rng.random() < 0.6:
        return rng.choice(lex.GOOD_ENDS if good else lex.BAD_ENDS)
    return opinion(good, thing, rng)


def aspects(label: int, level: int, rng: Random) -> Row:
    """Return a review of `level` parts, from level 2 on not all of one side, and the part that is asked for."""
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, level)
    at = rng.randrange(level)
    sides = [rng.random() < 0.5 for _ in parts]
    if level > 1:
        sides[rng.choice([i for i in range(level) if i != at])] = label == 0
    sides[at] = label == 1
    clauses = [opinion(side, part, rng) for side, part in zip(sides, parts, strict=True)]
    joined = "".join(clause if not i else f" {rng.choice(('and', 'but'))} {clause}" for i, clause in enumerate(clauses))
    start = f"on {rng.choice(lex.DAYS)} i went to the {rng.choice(lex.PLACES)}"
    return Row({"review": f"{start} . {joined}", "aspect": parts[at]}, label)
