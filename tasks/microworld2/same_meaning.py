"""Paraphrase, two tasks: do two texts say the same? Chance 1/2.

Rows: {"first": "on monday ann gave the small key to tom in the park", "second": "in the park tom got the little key from
ann on monday"} -> same. The level is the number of places at which the second text is worded anew, in rows that are the same
and in those that are not.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row

LABEL_WORDS = ("different", "same")


def events(label: int, level: int, rng: Random) -> Row:
    """Return two wordings of who gave what to whom; `level` of voice, adjective and order differ."""
    giver, taker = rng.sample(world.PEOPLE, 2)
    thing, place, day = rng.choice(world.THINGS), rng.choice(lex.PLACES), rng.choice(lex.DAYS)
    word, verbs = rng.choice(world.words_of(lex.THING_SCALES)), rng.choice(lex.TRANSFERS)
    voice, front = rng.randrange(3), rng.random() < 0.5
    first = _worded(giver, taker, f"{word} {thing}", place, day, verbs, voice, front)
    changed = set(rng.sample(("voice", "word", "front"), level))
    if "voice" in changed:
        voice = (voice + rng.choice((1, 2))) % 3
    if "word" in changed:
        word = world.synonym(word)
    if "front" in changed:
        front = not front
    if label == 0:
        broken = rng.choice(("people", "word", "place"))
        if broken == "people":
            giver, taker = taker, giver
        elif broken == "word":
            word = rng.choice(world.opposites(word))
        else:
            place = rng.choice([other for other in lex.PLACES if other != place])
    return Row(
        {"first": first, "second": _worded(giver, taker, f"{word} {thing}", place, day, verbs, voice, front)}, label
    )


def _worded(
    giver: str, taker: str, thing: str, place: str, day: str, verbs: tuple[str, str, str], voice: int, front: bool
) -> str:
    gave, got, given = verbs
    sentences = (
        f"{giver} {gave} the {thing} to {taker}",
        f"{taker} {got} the {thing} from {giver}",
        f"the {thing} was {given} to {taker} by {giver}",
    )[voice]
    return f"on {day} {sentences} in the {place}" if front else f"in the {place} {sentences} on {day}"


def orders(label: int, level: int, rng: Random) -> Row:
    """Return two wordings of what came before what; level 2 also turns the second, and level 3 has three things."""
    name, day = rng.choice(world.PEOPLE), rng.choice(lex.DAYS)
    did = rng.sample([step for script in lex.SCRIPTS for step in script], 3 if level == 3 else 2)
    again = list(did)
    if label == 0:
        i = rng.randrange(len(did) - 1)
        again[i], again[i + 1] = again[i + 1], again[i]
    ways = rng.sample(range(2), 2) if level == 1 else [rng.randrange(2), rng.randrange(2, 5)]
    first, second = (_ordered(name, steps, way) for steps, way in zip((did, again), ways, strict=True))
    return Row({"first": f"on {day} {first}", "second": second}, label)


def _ordered(name: str, did: list[str], way: int) -> str:
    he = world.he(name)
    start = (
        f"{name} {did[0]} , then {he} {did[1]}",
        f"{name} {did[0]} before {he} {did[1]}",
        f"{name} {did[1]} after {he} {did[0]}",
        f"after {name} {did[0]} , {he} {did[1]}",
        f"before {name} {did[1]} , {he} {did[0]}",
    )[way]
    return start if len(did) == 2 else f"{start} , last {he} {did[2]}"
