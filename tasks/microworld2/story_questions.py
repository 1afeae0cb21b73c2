"""Question answering, two tasks: find a place in a story, or choose the thing that fits. Chance 1/3.

Rows: {"context": "on monday ann took the key . ann gave the key to tom . tom went to the park …", "question": "where is
the key ?"} -> "park" (generated; three places stand in the story), and {"options": "the cup , the hat , the box", "question":
"the cup is made of glass … what can melt ?"} with the options as choices.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world, world_questions
from tasks.microworld.rows import Row


def whereabouts(label: int, level: int, rng: Random) -> Row:
    """Return a story with three places: of three people (1), with a second move (2), or of a thing (3; 4: handed on)."""
    names, places = rng.sample(world.PEOPLE, 3), rng.sample(lex.PLACES, 3)
    thing, whose = rng.choice(world.THINGS), names[0]
    moves = [(names[0], places[0]), (names[1], places[1]), (names[2], places[2])]
    others = [names[1], names[2]]
    if level == 2:
        moves = [(names[0], places[1]), (names[1], places[2]), (names[0], places[0])]
        if rng.random() < 0.5:  # the one who is asked for need not be the one who moved twice
            moves, others = [(names[1], places[1]), (names[0], places[0]), (names[1], places[2])], [names[1]]
    sentences = [
        f"{name} {rng.choice(lex.MOVES)[0]} to the {place} ."
        for name, place in (moves if level == 2 else rng.sample(moves, 3))
    ]
    if level >= 3:
        whose = f"the {thing}"
        holder = rng.choice(others) if level == 4 else names[0]
        sentences.insert(0, f"{holder} {rng.choice(lex.TAKES)[0]} the {thing} .")
        if level == 4:
            gave, got, _ = rng.choice(lex.TRANSFERS)
            sentences.insert(
                1,
                rng.choice(
                    (f"{holder} {gave} the {thing} to {names[0]} .", f"{names[0]} {got} the {thing} from {holder} .")
                ),
            )
    del label  # the place of the answer is drawn with the order of the moves
    context = f"on {rng.choice(lex.DAYS)} {' '.join(sentences)}"
    return Row({"context": context, "question": f"where is {whose} ?"}, None, target=places[0])


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
        question, right, wrong = _made_of(rng) if level == 2 else _of_people(rng)
    wrong.insert(label, right)
    return Row({"options": " , ".join(wrong), "question": question}, label, choices=tuple(wrong))


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
