"""Documents in which one sentence is paraphrased, denied, or left open."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world


def attribute(rng: Random) -> str:
    """Return a document such as: The soup was hot . so it was boiling . it was not cold . maybe it was old ."""
    person = rng.random() < 0.5
    scales = lex.PERSON_SCALES if person else lex.THING_SCALES
    who = rng.choice(world.PEOPLE) if person else f"the {rng.choice(world.THINGS)}"
    word = rng.choice(world.words_of(scales))
    other = world.elsewhere(word, scales, rng)
    says = [
        f"so {who} was {rng.choice((word, world.synonym(word)))} .",
        f"{who} was not {rng.choice(world.opposites(word))} .",
        f"maybe {who} was {other} .",
    ]
    if rng.random() < 0.4:
        says = [f"{who} was {world.synonym(word)} , that means {word} , not {rng.choice(world.opposites(word))} ."]
    rng.shuffle(says)
    return f"{who} was {word} . " + " ".join(says[: rng.choice((2, 3))])


def scene(rng: Random) -> str:
    """Return a document such as "ann saw a small dog in the park . so ann saw a little pet . the dog was not big ."."""
    name, noun = rng.choice(world.PEOPLE), rng.choice(world.COUNTED)
    place, away = rng.sample(lex.PLACES, 2)
    word = rng.choice(world.words_of(lex.THING_SCALES))
    verb = rng.choice(("saw", "found", "had", "liked", "took"))
    says = [
        f"so {name} {verb} {world.a(world.synonym(word))} {noun} .",
        f"so {name} {verb} {world.a(world.KIND[noun])} .",
        f"so the {noun} was {world.synonym(word)} .",
        f"the {noun} was not {rng.choice(world.opposites(word))} .",
        f"{name} was not in the {away} .",
        f"so {name} was in the {place} .",
        f"maybe the {noun} was {world.elsewhere(word, lex.THING_SCALES, rng)} .",
    ]
    return f"{name} {verb} {world.a(word)} {noun} in the {place} . " + " ".join(rng.sample(says, 3))


def comparison(rng: Random) -> str:
    """Return a document such as: Ann is taller than tom . so tom is shorter than ann . tom is not taller than ann ."""
    first, second, third = rng.sample(world.PEOPLE, 3)
    word = rng.choice([w for pair in lex.COMPARATIVES for w in pair])
    back = world.converse(word)
    says = [
        f"so {second} is {back} than {first} .",
        f"so {first} is {word} than {second} .",
        f"{second} is not {word} than {first} .",
        f"{first} is not {back} than {second} .",
        f"maybe {third} is {rng.choice((word, back))} than {rng.choice((first, second))} .",
    ]
    return f"{first} is {word} than {second} . " + " ".join(rng.sample(says, rng.choice((2, 3))))


def order(rng: Random) -> str:
    """Return a document such as "ann is taller than tom . tom is taller than kate . so ann is the tallest of the
    three".
    """
    people = rng.sample(world.PEOPLE, 3)
    word = rng.choice([w for pair in lex.COMPARATIVES for w in pair])
    facts = [f"{people[0]} is {word} than {people[1]} .", f"{people[1]} is {word} than {people[2]} ."]
    rng.shuffle(facts)
    ends = [
        f"so {people[0]} is {word} than {people[2]} .",
        f"so {people[2]} is {world.converse(word)} than {people[0]} .",
    ]
    return " ".join([*facts, rng.choice(ends)])


def transfer(rng: Random) -> str:
    """Return a document such as: Ann gave the key to tom . so tom got the key from ann . now tom has the key ."""
    giver, taker = rng.sample(world.PEOPLE, 2)
    thing, other = rng.sample(world.THINGS, 2)
    gave, got, given = rng.choice(lex.TRANSFERS)
    ways = [
        f"{giver} {gave} the {thing} to {taker} .",
        f"{giver} {gave} {taker} the {thing} .",
        f"{taker} {got} the {thing} from {giver} .",
        f"the {thing} was {given} to {taker} by {giver} .",
    ]
    says = [
        f"now {taker} has the {thing} .",
        f"{giver} does not have the {thing} now .",
        f"{taker} did not give the {thing} to {giver} .",
        f"maybe {rng.choice((giver, taker))} has the {other} .",
    ]
    first, second = rng.sample(ways, 2)
    return f"{first} so {second} " + " ".join(rng.sample(says, rng.choice((1, 2))))


def act(rng: Random) -> str:
    """Return a document such as: Tom chased ann . so ann was chased by tom . ann did not chase tom ."""
    first, second, third = (
        rng.sample(world.PEOPLE, 3) if rng.random() < 0.5 else [f"the {x}" for x in rng.sample(list(lex.ANIMALS), 3)]
    )
    past, base = rng.choice(lex.ACTS)
    other, _ = rng.choice(lex.ACTS)
    active, passive = f"{first} {past} {second} .", f"{second} was {past} by {first} ."
    if rng.random() < 0.5:
        active, passive = passive, active
    says = [
        f"{second} did not {base} {first} .",
        f"{first} was not {past} by {second} .",
        f"maybe {third} {other} {rng.choice((first, second))} .",
    ]
    return f"{active} so {passive} " + " ".join(rng.sample(says, rng.choice((1, 2))))


def quantity(rng: Random) -> str:
    """Return a document such as: All the dogs were wet . so some dogs were wet . it is not true that no dog was wet ."""
    noun, word = rng.choice(list(lex.ANIMALS)), rng.choice(world.words_of(lex.THING_SCALES))
    if rng.random() < 0.5:
        return f"all of the animals were {word} . there was {world.a(noun)} . so the {noun} was {world.synonym(word)} ."
    return f"none of the animals was {word} . there was {world.a(noun)} . so the {noun} was not {rng.choice((word, world.synonym(word)))} ."


DOCUMENTS = ((attribute, 6), (scene, 8), (comparison, 6), (order, 3), (transfer, 6), (act, 5), (quantity, 2))
