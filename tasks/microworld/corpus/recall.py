"""Documents that list pairs and then ask for them again: looking things up in the text, many times in each."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world

LABELS = (
    tuple(f"answer{i}" for i in range(1, 6)),
    tuple(f"ending{i}" for i in range(1, 5)),
    tuple(f"option{i}" for i in range(1, 3)),
    tuple(f"solution{i}" for i in range(1, 3)),
    ("1", "2", "3", "4", "5"),
)


def _shuffled(items: list[str], rng: Random) -> list[str]:
    return rng.sample(items, len(items))


def labelled(rng: Random) -> str:
    """Return a document such as: answer1 : the pear , answer2 : the dog . the dog is answer2 . answer1 is the pear ."""
    labels = rng.choice(LABELS)
    count = rng.randrange(2, min(5, len(labels)) + 1)
    pool = rng.choice((world.THINGS, world.COUNTED, tuple(lex.PLACES), tuple(world.PEOPLE), tuple(lex.MATERIALS)))
    the = rng.choice(("the ", "")) if pool not in (tuple(world.PEOPLE), tuple(lex.MATERIALS)) else ""
    options = [the + word for word in rng.sample(pool, count)]
    listed = rng.choice((" , ", " ")).join(
        f"{label} : {option}" for label, option in zip(labels, options, strict=False)
    )
    back = rng.random() < 0.7
    says = [
        f"{option} is {label}" if back else f"{label} is {option}"
        for label, option in zip(labels, options, strict=False)
    ]
    return f"{listed} . {' , '.join(_shuffled(says, rng))} ."


def homes(rng: Random) -> str:
    """Return a document such as "ann is in the park , tom is in the shop . where is tom ? in the shop . where is ann
    ?".
    """
    people = rng.sample(world.PEOPLE, rng.choice((2, 3, 4)))
    places = rng.sample(lex.PLACES, len(people))
    facts = [f"{who} is in the {place}" for who, place in zip(people, places, strict=True)]
    questions = [
        rng.choice((f"where is {who} ? in the {place} .", f"{who} ? the {place} .", f"the {place} ? {who} ."))
        for who, place in zip(people, places, strict=True)
    ]
    return f"{' , '.join(facts)} . {' '.join(_shuffled(questions, rng))}"


def owners(rng: Random) -> str:
    """Return a document such as: Ann has the key . tom has the hat . who has the hat ? tom . what does ann have ? the
    key .
    """
    people = rng.sample(world.PEOPLE, rng.choice((2, 3, 4)))
    things = rng.sample(world.THINGS, len(people))
    facts = [f"{who} has the {thing} ." for who, thing in zip(people, things, strict=True)]
    questions = [
        rng.choice(
            (f"who has the {thing} ? {who} .", f"what does {who} have ? the {thing} .", f"the {thing} ? {who} .")
        )
        for who, thing in zip(people, things, strict=True)
    ]
    return f"{' '.join(facts)} {' '.join(_shuffled(questions, rng))}"


def pairs(rng: Random) -> str:
    """Return a document such as: pear red , dog blue , sock green . dog blue , sock green , pear red ."""
    keys = rng.sample(world.COUNTED, rng.choice((3, 4, 5)))
    values = rng.sample(rng.choice((lex.PLACES, world.PEOPLE, [*lex.COLOURS, *lex.NUMBERS])), len(keys))
    facts = [f"{key} {value}" for key, value in zip(keys, values, strict=True)]
    return f"{' , '.join(facts)} . {' , '.join(_shuffled(facts, rng))} ."


DOCUMENTS = ((labelled, 26), (homes, 12), (owners, 12), (pairs, 14))
