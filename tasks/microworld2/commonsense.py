"""The commonsense suite: eight tasks in the shapes of BoolQ, PIQA, SIQA, HellaSwag, WinoGrande, ARC and OpenBookQA.

Rows have the schema and the words of LLM-Adapters (Hu et al. 2023). One mixture is trained on; each task has its test.
Level 1 asks for what the world is like; level 2 asks for it through a story, which no document of the corpus tells.
Row: {"instruction": "please choose the correct solution to the question : the knife is in the park . the broom is in the shop .
how can ann cut bread ? solution1 : go to the shop solution2 : go to the park answer format : solution1 / solution2"} ->
"the correct answer is solution2" (generated; chance: one over the options).
"""

from collections.abc import Mapping, Sequence
from random import Random

from tasks.base import Splits
from tasks.microworld import commonsense as first_world
from tasks.microworld import lexicon as lex
from tasks.microworld import rows, world
from tasks.microworld.commonsense import Ask
from tasks.microworld.rows import Row
from tasks.microworld.world_questions import Question
from tasks.microworld2 import graded_rows

SIZES = {"train": 512, "validation": 64, "test": 416}
"""Rows of each task: eight tasks have as many as another task of world 2."""
SHARES: Mapping[int, int] = {1: 50, 2: 50}
CHANCE = first_world.CHANCE


def errand(rng: Random, wrongs: int) -> Question:
    """Return a question on where to go for a tool (PIQA)."""
    right = rng.choice(sorted(lex.TOOLS))
    verb, noun = lex.TOOLS[right]
    others = [tool for tool, (does, to) in lex.TOOLS.items() if does != verb and to != noun]
    tools, places = [right, *rng.sample(others, wrongs)], rng.sample(lex.PLACES, wrongs + 1)
    story = _shuffled([f"the {tool} is in the {place} ." for tool, place in zip(tools, places, strict=True)], rng)
    goes = [f"go to the {place}" for place in places]
    return Question(f"{story} how can {rng.choice(world.PEOPLE)} {verb} {noun} ?", goes[0], tuple(goes[1:]))


def one_of_two(rng: Random, wrongs: int) -> Question:
    """Return a question on one of two people to whom different things happened (SIQA)."""
    (name, other), at = rng.sample(world.PEOPLE, 2), rng.choice((2, 3))
    events = rng.sample(lex.SOCIAL, wrongs + 1)
    if len({event[at] for event in events}) <= wrongs:
        return one_of_two(rng, wrongs)
    story = _shuffled([f"{name} {events[0][0]} .", f"{other} {events[1][0]} ."], rng)
    question, form = (f"what will {name} do next ?", "{}") if at == 2 else (f"what did {name} want ?", "to {}")
    right, *wrong = (form.format(event[at]) for event in events)
    return Question(f"{story} {question}", right, tuple(wrong))


def goes_on(rng: Random, wrongs: int) -> Question:
    """Return a story of two people and what one of them does next; not what has been done, or the other one does
    (HellaSwag).
    """
    (name, other), (ours, theirs) = rng.sample(world.PEOPLE, 2), rng.sample(lex.SCRIPTS, 2)
    story = " ".join(f"{name} {first} . {other} {second} ." for first, second in zip(ours[:2], theirs[:2], strict=True))
    rest = [step for script in lex.SCRIPTS if script not in (ours, theirs) for step in script]
    wrong = (theirs[2], rng.choice(ours[:2]), *rng.sample(rest, wrongs - 2))
    return Question(f"{story} then {name}", ours[2], wrong)


def owner(rng: Random, _: int) -> Question:
    """Return a question on who has the thing that is too large, or such (WinoGrande)."""
    template, words = rng.choice(lex.FITS)
    pool = world.THINGS if "break" in template or "fit" in template else tuple(lex.ANIMALS)
    things, names, side = rng.sample(pool, 2), rng.sample(world.PEOPLE, 2), rng.randrange(2)
    story = _shuffled([f"{name} has the {thing} ." for name, thing in zip(names, things, strict=True)], rng)
    sentence = template.format(a=things[0], b=things[1], x="_", w=words[side])
    return Question(f"{story} {sentence} . who has the _ ?", names[side], (names[1 - side],))


def user(rng: Random, wrongs: int) -> Question:
    """Return a question on who can use what they have (ARC-easy)."""
    kinds = rng.sample(sorted(lex.USES), wrongs + 1)
    return _of_people(
        [world.a(rng.choice(lex.USES[kind][0])) for kind in kinds], "has", f"can {lex.USES[kinds[0]][1]} something", rng
    )


def made_of(rng: Random, wrongs: int) -> Question:
    """Return a question on what a thing can do, by what it is made of (ARC-challenge)."""
    right = rng.choice(sorted(lex.MATERIALS))
    can, _ = lex.MATERIALS[right]
    stuffs = [right, *rng.sample([stuff for stuff, (does, _) in lex.MATERIALS.items() if does != can], wrongs)]
    things = rng.sample(world.THINGS, wrongs + 1)
    story = _shuffled([f"the {thing} is made of {stuff} ." for thing, stuff in zip(things, stuffs, strict=True)], rng)
    return Question(f"{story} what can {can} ?", f"the {things[0]}", tuple(f"the {thing}" for thing in things[1:]))


def taster(rng: Random, wrongs: int) -> Question:
    """Return a question on who works in a place, or has something of a taste (OpenBookQA)."""
    if rng.random() < 0.5:
        job = rng.choice(sorted(lex.JOBS))
        place, _ = lex.JOBS[job]
        jobs = [job, *rng.sample([other for other, (where, _) in lex.JOBS.items() if where != place], wrongs)]
        return _of_people([world.a(job) for job in jobs], "is", f"works in the {place}", rng)
    food = rng.choice(sorted(lex.TASTES))
    others = [other for other, taste in lex.TASTES.items() if taste != lex.TASTES[food]]
    return _of_people(
        [world.a(thing) for thing in (food, *rng.sample(others, wrongs))],
        "has",
        f"has something {lex.TASTES[food]}",
        rng,
    )


def _of_people(things: Sequence[str], verb: str, question: str, rng: Random) -> Question:
    """Return a question on the one of several people with the first of the things."""
    names = rng.sample(world.PEOPLE, len(things))
    story = _shuffled([f"{name} {verb} {thing} ." for name, thing in zip(names, things, strict=True)], rng)
    return Question(f"{story} who {question} ?", names[0], tuple(names[1:]))


def _shuffled(sentences: list[str], rng: Random) -> str:
    return " ".join(rng.sample(sentences, len(sentences)))


STORIES: Mapping[str, Ask] = {
    "piqa": errand, "siqa": one_of_two, "hellaswag": goes_on, "winogrande": owner, "arc-e": user, "arc-c": made_of,
    "obqa": taster,
}  # fmt: skip


def chosen(name: str) -> graded_rows.Maker:
    """Return the maker of a task's rows with labelled options; the right one stands at position `label`."""
    shape = first_world.SHAPES[name]
    storied = first_world.Shape(shape.ask, shape.label, (STORIES[name],), shape.options)
    makers = {1: first_world.chosen(shape), 2: first_world.chosen(storied)}
    return lambda label, level, rng: makers[level](label, rng)


def yes_or_no(label: int, level: int, rng: Random) -> Row:
    """Return a row such as: Ann has a pear and a cow . ann gave the cow to tom . does tom have the cow ? true or false."""
    if level == 1:
        return first_world.yes_or_no(label, rng)
    (name, other), things = rng.sample(world.PEOPLE, 2), rng.sample(world.THINGS, 3)
    gave, got, _ = rng.choice(lex.TRANSFERS)
    gone = rng.choice(things)
    left = rng.choice([thing for thing in things if thing != gone])
    moved = rng.choice((f"{name} {gave} the {gone} to {other} .", f"{other} {got} the {gone} from {name} ."))
    who, what = rng.choice(((other, gone), (name, left)) if label == 0 else ((name, gone), (other, left)))
    listed = f"{world.a(things[0])} , {world.a(things[1])} and {world.a(things[2])}"
    ask = "please answer the following question with true or false , question :"
    question = f"{name} has {listed} . {moved} does {who} have the {what} ?"
    sentences = tuple(f"the correct answer is {verdict}" for verdict in ("true", "false"))
    return Row({"instruction": f"{ask} {question} answer format : true / false"}, label, sentences[label], sentences)


MAKERS: Mapping[str, tuple[graded_rows.Maker, int]] = {
    "boolq": (yes_or_no, 2),
    **{name: (chosen(name), first_world.SHAPES[name].options) for name in STORIES},
}


def mixture(seed: str) -> Splits:
    """Return all eight tasks: train and validation mixed in a fixed order, and a test set each."""
    each: Mapping[str, Splits] = {
        name: graded_rows.splits(maker, labels, f"{seed} {name}", SHARES, SIZES)
        for name, (maker, labels) in MAKERS.items()
    }
    return rows.mixed(each, seed)
