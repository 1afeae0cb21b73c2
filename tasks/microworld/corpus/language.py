"""Documents about words themselves: opposites, lists, order, counts, and sentences in another order."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world

_WORDS = sorted({*lex.FORMAT_WORDS, *world.KIND, *world.words_of((*lex.THING_SCALES, *lex.PERSON_SCALES)), *lex.PLACES})


def opposite(rng: Random) -> str:
    """Return a document on opposites and synonyms."""
    word = rng.choice(world.words_of((*lex.THING_SCALES, *lex.PERSON_SCALES)))
    against = rng.choice(world.opposites(word))
    other = rng.choice(world.words_of(lex.THING_SCALES))
    return rng.choice(
        (
            f"the opposite of {word} is {against} . the same as {other} is {world.synonym(other)} .",
            f"{word} and {world.synonym(word)} are the same , {word} and {against} are opposite .",
        )
    )


def counting(rng: Random) -> str:
    """Return a document on the order of numbers and days."""
    at = rng.randrange(len(lex.NUMBERS) - 1)
    day = rng.randrange(7)
    return rng.choice(
        (
            f"after {lex.NUMBERS[at]} comes {lex.NUMBERS[at + 1]} . before {lex.NUMBERS[at + 1]} comes {lex.NUMBERS[at]} .",
            f"after {lex.DAYS[day]} comes {lex.DAYS[(day + 1) % 7]} . before {lex.DAYS[day]} comes {lex.DAYS[day - 1]} .",
            f"{lex.NUMBERS[at]} is less than {lex.NUMBERS[at + 1]} . {at + 1} is {lex.NUMBERS[at]} .",
        )
    )


def listing(rng: Random) -> str:
    """Return a document such as: Three fruits : apple , pear , plum . first apple , last plum ."""
    kind = rng.choice([k for k in sorted(set(world.KIND.values())) if sum(v == k for v in world.KIND.values()) >= 3])
    items = rng.sample([n for n, k in world.KIND.items() if k == kind], 3)
    return rng.choice(
        (
            f"list of three , kind {kind} : {items[0]} , {items[1]} , {items[2]} .",
            f"{items[0]} , {items[1]} , {items[2]} : the first is {items[0]} , the last is {items[2]} , all are of the kind {kind} .",
            f"{items[0]} {items[1]} {items[2]} in reverse : {items[2]} {items[1]} {items[0]} .",
        )
    )


def odd(rng: Random) -> str:
    """Return a document such as: Apple , pear , dog : the odd one out is the dog ."""
    kinds = [k for k in sorted(set(world.KIND.values())) if sum(v == k for v in world.KIND.values()) >= 2]
    first, second = rng.sample(sorted(kinds), 2)
    items = rng.sample([n for n, k in world.KIND.items() if k == first], 2)
    out = rng.choice([n for n, k in world.KIND.items() if k == second])
    listed = [*items, out]
    rng.shuffle(listed)
    return f"{listed[0]} , {listed[1]} , {listed[2]} : the odd one out is {out} , not {items[0]} ."


def coloured(rng: Random) -> str:
    """Return a document such as: The red ball is in the box . so the ball is red . Or return a count of coloured
    things.
    """
    first, second = rng.sample(world.THINGS, 2)
    red, blue = rng.sample(lex.COLOURS, 2)
    count = rng.choice(lex.NUMBERS[1:])
    name = rng.choice(world.PEOPLE)
    return rng.choice(
        (
            f"the {red} {first} is in the {rng.choice(lex.CONTAINERS)} . the {second} is {blue} . so the {first} is {red} .",
            f"{name} has {count} things . how many ? {count} . one of them is {world.a(red)} {first} .",
            f"what colour is the {red} {first} ? {red} . and the {blue} {second} ? {blue} .",
        )
    )


def verbs(rng: Random) -> str:
    """Return a document such as: Today they go , in the past they went ."""
    past, base = rng.choice((*lex.MOVES, *lex.TAKES, *((p, b) for p, b in lex.ACTS)))
    return f"the past of {base} is {past} . now they {base} , long ago they {past} ."


def copying(rng: Random) -> str:
    """Return words in a row, repeated as they are or in reverse, so that every word of the vocabulary occurs."""
    words = rng.sample(_WORDS, rng.choice((3, 4, 5)))
    again = words[::-1]
    return rng.choice(
        (
            f"repeat : {' '.join(words)} : {' '.join(words)} .",
            f"reverse : {' '.join(words)} : {' '.join(again)} .",
            f"words : {' '.join(words)} . first : {words[0]} . last : {words[-1]} .",
        )
    )


DOCUMENTS = ((copying, 6), (opposite, 5), (counting, 2), (listing, 4), (odd, 3), (coloured, 3), (verbs, 2))
