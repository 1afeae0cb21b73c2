"""Question answering, two tasks: find a place in a story, or choose what fits: by a fact, by the story, or by both. Chance 1/3.

Rows: {"context": "on monday ann took the key . ann gave the key to tom . tom went to the park …", "question": "where is
the key ?"} -> "park" (generated; three places stand in the story), and {"options": "the cup , the hat , the box", "question":
"the cup is made of glass … what can melt ?"} with the options as choices.
"""

from itertools import pairwise
from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world, world_questions
from tasks.microworld.rows import Row


def whereabouts(label: int, level: int, rng: Random) -> Row:
    """Return a story with three places, which asks where a person is (1), a thing that is carried (2), that was handed
    on once (3) or twice (4), or where a thing was before (5).
    """
    del label  # the place of the answer is drawn with the order of the moves
    tell = {1: _person, 5: _earlier}.get(level, _handed_on)
    sentences, question, place = tell(rng, level - 2)
    return Row(
        {"context": f"on {rng.choice(lex.DAYS)} {' '.join(sentences)}", "question": question}, None, target=place
    )


def _goes(name: str, place: str, rng: Random) -> str:
    return f"{name} {rng.choice(lex.MOVES)[0]} to the {place} ."


def _person(rng: Random, _: int) -> tuple[list[str], str, str]:
    """Return a story of two, one of whom moves twice; either is asked for."""
    (first, second), places = rng.sample(world.PEOPLE, 2), rng.sample(lex.PLACES, 3)
    moves = [(first, places[1]), (second, places[2]), (first, places[0])]
    name, place = rng.choice(((first, places[0]), (second, places[2])))
    return [_goes(*move, rng) for move in moves], f"where is {name} ?", place


def _handed_on(rng: Random, times: int) -> tuple[list[str], str, str]:
    """Return a story of three, one of whom gets a thing; all of them leave for places of their own."""
    names, places, thing = rng.sample(world.PEOPLE, 3), rng.sample(lex.PLACES, 3), rng.choice(world.THINGS)
    sentences = [f"{names[0]} {rng.choice(lex.TAKES)[0]} the {thing} ."]
    for giver, taker in list(pairwise(names))[:times]:
        gave, got, _ = rng.choice(lex.TRANSFERS)
        ways = (f"{giver} {gave} the {thing} to {taker} .", f"{taker} {got} the {thing} from {giver} .")
        sentences.append(rng.choice(ways))
    moves = [_goes(name, place, rng) for name, place in zip(names, places, strict=True)]
    return [*sentences, *rng.sample(moves, 3)], f"where is the {thing} ?", places[times]


def _earlier(rng: Random, _: int) -> tuple[list[str], str, str]:
    """Return a story of one who carries a thing to three places, and of another; asked is one of the first two."""
    (name, other), places, thing = rng.sample(world.PEOPLE, 2), rng.sample(lex.PLACES, 3), rng.choice(world.THINGS)
    sentences = [f"{name} {rng.choice(lex.TAKES)[0]} the {thing} .", *(_goes(name, place, rng) for place in places)]
    sentences.insert(rng.randrange(1, 4), _goes(other, rng.choice(places), rng))
    at = rng.randrange(2)
    return sentences, f"where was the {thing} before the {places[at + 1]} ?", places[at]


def choices(label: int, level: int, rng: Random) -> Row:
    """Return a row with three things to choose from; the right one stands at position `label`."""
    if level == 1:
        asks = (
            world_questions.use,
            world_questions.kind,
            world_questions.material,
            world_questions.job,
            world_questions.tool,
        )
        made = rng.choice(asks)(rng, 2)
        question, right, wrong = made.text, made.right, list(made.wrong)
    else:
        ask = _owned if level == 2 else rng.choice((_made_of, _of_people))
        question, right, wrong = ask(rng)
    wrong.insert(label, right)
    return Row({"options": " , ".join(wrong), "question": question}, label, choices=tuple(wrong))


def _owned(rng: Random) -> tuple[str, str, list[str]]:
    """Return a question on who has something, or which thing is in a place: it stands in the story."""
    things = rng.sample(world.THINGS, 3)
    if rng.random() < 0.5:
        names = rng.sample(world.PEOPLE, 3)
        sentences = [f"{name} has the {thing} ." for name, thing in zip(names, things, strict=True)]
        return f"{' '.join(rng.sample(sentences, 3))} who has the {things[0]} ?", names[0], names[1:]
    places = rng.sample(lex.PLACES, 3)
    sentences = [f"the {thing} is in the {place} ." for thing, place in zip(things, places, strict=True)]
    right, *wrong = (f"the {thing}" for thing in things)
    return f"{' '.join(rng.sample(sentences, 3))} what is in the {places[0]} ?", right, wrong


def _made_of(rng: Random) -> tuple[str, str, list[str]]:
    """Return a question on what a thing can do, by the material that it is made of."""
    can = rng.choice(sorted({does for does, _ in lex.MATERIALS.values()}))
    right = rng.choice([stuff for stuff, (does, _) in lex.MATERIALS.items() if does == can])
    stuffs = [right, *rng.sample([stuff for stuff, (does, _) in lex.MATERIALS.items() if does != can], 2)]
    things = rng.sample(world.THINGS, 3)
    sentences = [f"the {thing} is made of {stuff} ." for thing, stuff in zip(things, stuffs, strict=True)]
    return (
        f"{' '.join(rng.sample(sentences, 3))} what can {can} ?",
        f"the {things[0]}",
        [f"the {thing}" for thing in things[1:]],
    )


def _of_people(rng: Random) -> tuple[str, str, list[str]]:
    """Return a question on who works somewhere or can use what they have."""
    names = rng.sample(world.PEOPLE, 3)
    if rng.random() < 0.5:
        jobs = rng.sample(sorted(lex.JOBS), 3)
        places = [lex.JOBS[job][0] for job in jobs]
        if places.count(places[0]) > 1:
            return _of_people(rng)
        sentences = [f"{name} is {world.a(job)} ." for name, job in zip(names, jobs, strict=True)]
        return f"{' '.join(rng.sample(sentences, 3))} who works in the {places[0]} ?", names[0], names[1:]
    kinds = rng.sample(sorted(lex.USES), 3)
    sentences = [
        f"{name} has {world.a(rng.choice(lex.USES[kind][0]))} ." for name, kind in zip(names, kinds, strict=True)
    ]
    return f"{' '.join(rng.sample(sentences, 3))} who can {lex.USES[kinds[0]][1]} something ?", names[0], names[1:]
