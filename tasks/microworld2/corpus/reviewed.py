"""Documents that review a show, a stay or a purchase, part by part and as a whole, with turns and with negation."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.corpus.opinions import DISLIKES, LIKES, opinion

GOOD = ("good", "bad")
"""What a part or a whole is called: by whether it is blamed."""


def parted(rng: Random) -> tuple[list[str], dict[str, bool]]:
    """Return clauses about two to four parts, and whether each part is praised."""
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, rng.choice((2, 2, 3, 4)))
    liked = {part: rng.random() < 0.5 for part in parts}
    return [opinion(good, part, rng) for part, good in liked.items()], liked


def joined(clauses: list[str], rng: Random) -> str:
    """Return clauses as one text."""
    return "".join(
        clause if i == 0 else rng.choice((f" . {clause}", f" and {clause}", f" , but {clause}"))
        for i, clause in enumerate(clauses)
    )


def aspects(rng: Random) -> str:
    """Return a document such as: The food was awful and the room was lovely . how was the room ? good . the food ? bad ."""
    clauses, liked = parted(rng)
    wanted = rng.sample(sorted(liked), rng.choice((1, 2, len(liked))))
    answers = [
        rng.choice(("how was the {} ? {} .", "the {} ? {} .", "so the {} was {} .")).format(part, GOOD[not liked[part]])
        for part in wanted
    ]
    return f"{joined(clauses, rng)} . {' '.join(answers)}"


def likes(rng: Random) -> str:
    """Return a document such as: The food was awful and the room was lovely . i liked the room , not the food ."""
    clauses, liked = parted(rng)
    good, bad = [p for p in liked if liked[p]], [p for p in liked if not liked[p]]
    end = (
        f"i liked the {rng.choice(good)} , not the {rng.choice(bad)}"
        if good and bad
        else f"i {'liked' if good else 'hated'} all of it"
    )
    return f"{joined(clauses, rng)} . {end} ."


def _about(good: bool, thing: str, rng: Random) -> str:
    """Return one clause about a part of something, or (where it is named) about a thing that was bought."""
    if thing and rng.random() < 0.5:
        return rng.choice(lex.GOOD_ENDS if good else lex.BAD_ENDS)
    return opinion(good, thing or rng.choice((*lex.SHOW_PARTS, *lex.STAY_PARTS)), rng)


def turned(good: bool, rng: Random, thing: str = "") -> str:
    """Return a text that turns, and ends (or weighs) on the side of `good`."""
    ours, theirs = _about(good, thing, rng), _about(not good, thing, rng)
    return rng.choice(
        (
            f"{theirs} , but {ours}",
            f"although {theirs} , {ours}",
            f"{ours} , although {theirs}",
            f"at first {theirs} . in the end {ours}",
            f"in the end {ours} . at first {theirs}",
        )
    )


def whole(rng: Random) -> str:
    """Return a document such as: Although the plot was dull , the play was lovely . in all , i liked it ."""
    good = rng.random() < 0.5
    text = turned(good, rng) if rng.random() < 0.7 else f"{_about(good, '', rng)} and {_about(good, '', rng)}"
    end = rng.choice(LIKES if good else DISLIKES)
    return f"{text} . {rng.choice((f'in all , {end}', f'good or bad ? {GOOD[not good]}', f'so all in all it was {GOOD[not good]}'))} ."


def bought(rng: Random) -> str:
    """Return a document such as: I bought a lamp . at first it came in time . in the end it broke in a week . bad ."""
    good, thing = rng.random() < 0.5, rng.choice(lex.GOODS)
    return f"i bought {world.a(thing)} . {turned(good, rng, thing)} . {rng.choice(('', 'all in all : ', 'was it good ? '))}{GOOD[not good]} ."


DOCUMENTS = ((aspects, 12), (likes, 5), (whole, 10), (bought, 5))
