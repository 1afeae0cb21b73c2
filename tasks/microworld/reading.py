"""Question answering: find a place in a story, or choose the thing that fits.

Rows: {"context": "ann went to the park . tom …", "question": "where is tom ?"} -> "shop" (generated; chance 1/3: one
of the three places of the story), and {"options": "the car , the pear , the hat", "question": "what can one eat ?"}
with the options as choices (chance 1/3).
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world, world_questions
from tasks.microworld.rows import Row

PEOPLE_TOLD = 3


def places(label: int, rng: Random) -> Row:
    """Return a row in which three people go to three places, and the place of the one at position `label` is asked for."""
    people, places = rng.sample(world.PEOPLE, PEOPLE_TOLD), rng.sample(lex.PLACES, PEOPLE_TOLD)
    facts = [f"{who} {rng.choice(lex.MOVES)[0]} to the {place} ." for who, place in zip(people, places, strict=True)]
    return Row({"context": " ".join(facts), "question": f"where is {people[label]} ?"}, None, target=places[label])


def choices(label: int, rng: Random) -> Row:
    """Return a row that asks which of three things fits; the right one stands at position `label`."""
    question = rng.choice(
        (world_questions.use, world_questions.kind, world_questions.material, world_questions.job, world_questions.tool)
    )(rng, 2)
    options = list(question.wrong)
    options.insert(label, question.right)
    fields = {"options": " , ".join(options), "question": question.text}
    return Row(fields, label, choices=tuple(options))
