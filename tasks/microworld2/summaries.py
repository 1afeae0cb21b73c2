"""Summarisation, two tasks, generated and scored by exact match with ROUGE-L beside it.

Rows: {"story": "ann went to the park . tom had a ball . ann lost the key on monday …"} -> "ann lost the key in the park on monday",
and {"dialogue": "ann : let us meet on monday in the park . tom : sorry , not on monday …"} -> "ann and tom meet in the zoo on
friday". The level is the number of sentences that have nothing to do with it, or of changes of the plan.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row


def gist(label: int, level: int, rng: Random) -> Row:
    """Return a story in which something happens to one of two people; from level 2 on they have been elsewhere before."""
    name, other = rng.sample(world.PEOPLE, 2)
    place, before, away = rng.sample(lex.PLACES, 3)
    (happened, feeling, _, _), day = rng.choice(lex.SOCIAL), rng.choice(lex.DAYS)
    points = [
        f"{name} {rng.choice(lex.MOVES)[0]} to the {place} .",
        f"{name} {happened} on {day} .",
        f"{world.he(name)} was {feeling} .",
    ]
    if level >= 2:
        points.insert(0, f"{name} {rng.choice(lex.MOVES)[0]} to the {before} .")
    beside = [
        f"{other} {rng.choice(lex.MOVES)[0]} to the {away} .",
        f"{other} had {world.a(rng.choice(world.THINGS))} .",
        f"there was {world.a(rng.choice(list(lex.ANIMALS)))} there .",
    ]
    for sentence in rng.sample(beside, min(level, 3)):
        points.insert(rng.randrange(len(points)), sentence)
    del label
    return Row({"story": " ".join(points)}, None, target=f"{name} {happened} in the {place} on {day}")


def plan(label: int, level: int, rng: Random) -> Row:
    """Return a talk of two about where and when to meet, with level - 1 changes."""
    first, second = rng.sample(world.PEOPLE, 2)
    places, days, thing = rng.sample(lex.PLACES, 4), rng.sample(lex.DAYS, 4), rng.choice(world.THINGS)
    place, day, speaker, other = places[0], days[0], second, first
    sentences = [f"{first} : let us meet {rng.choice((f'on {day} in the {place}', f'in the {place} on {day}'))} ."]
    for turn in range(1, level):
        if rng.random() < 0.5:
            sentences.append(
                f"{speaker} : sorry , {rng.choice(('', f'not in the {place} , but '))}in the {places[turn]} ."
            )
            place = places[turn]
        else:
            sentences.append(f"{speaker} : sorry , {rng.choice(('', f'not on {day} , but '))}on {days[turn]} .")
            day = days[turn]
        speaker, other = other, speaker
    sentences.append(f"{speaker} : yes , {rng.choice(('fine', 'good'))} . i have {world.a(thing)} .")
    del label
    return Row({"dialogue": " ".join(sentences)}, None, target=f"{first} and {second} meet in the {place} on {day}")
