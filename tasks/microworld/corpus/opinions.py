"""Documents in which somebody likes something or does not."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world

LIKES = ("i liked it", "i loved it", "i was happy", "i will come again", "well done", "i enjoyed it")
DISLIKES = (
    "i did not like it",
    "i hated it",
    "i was sad",
    "i will not come again",
    "what a shame",
    "i left early",
)


def opinion(good: bool, part: str, rng: Random) -> str:
    """Return one clause about a part that is praised or blamed, with or without a negation."""
    word = rng.choice(lex.PRAISE if good else lex.BLAME)
    contrary = rng.choice(lex.BLAME if good else lex.PRAISE)
    return rng.choice(
        (
            f"the {part} was {word}",
            f"the {part} was {rng.choice(lex.DEGREES)} {word}",
            f"the {part} was not {contrary}",
            f"i found the {part} {word}",
            f"i thought the {part} would be {contrary} , but it was {word}",
        )
    )


def show(rng: Random) -> str:
    """Return a document such as: The film was dull and the music was awful . i left early ."""
    good = rng.random() < 0.5
    parts = rng.sample(lex.SHOW_PARTS if rng.random() < 0.5 else lex.STAY_PARTS, 2)
    ends = LIKES if good else DISLIKES
    if rng.random() < 0.3:
        text = f"{opinion(not good, parts[0], rng)} , but {opinion(good, parts[1], rng)}"
    else:
        text = f"{opinion(good, parts[0], rng)} and {opinion(good, parts[1], rng)}"
    return f"{text} . {rng.choice(ends)} ."


def goods(rng: Random) -> str:
    """Return a document such as: I bought a lamp . it broke in a week . i sent it back . i was sad ."""
    good = rng.random() < 0.5
    thing = rng.choice(lex.GOODS)
    ends = rng.sample(lex.GOOD_ENDS if good else lex.BAD_ENDS, 2)
    word = rng.choice(lex.PRAISE if good else lex.BLAME)
    tail = rng.choice((*(LIKES if good else DISLIKES), f"the {thing} is {word}", f"the {thing} was {word}"))
    return f"i bought {world.a(thing)} . {ends[0]} and {ends[1]} . {tail} ."


def same_side(rng: Random) -> str:
    """Return a document such as: Wonderful , lovely and great are good words . awful is not ."""
    good = rng.random() < 0.5
    ours, theirs = (lex.PRAISE, lex.BLAME) if good else (lex.BLAME, lex.PRAISE)
    first, second, third = rng.sample(ours, 3)
    return f"{first} , {second} and {third} are {'good' if good else 'evil'} words . {rng.choice(theirs)} is {'evil' if good else 'good'} ."


DOCUMENTS = ((show, 9), (goods, 7), (same_side, 2))
