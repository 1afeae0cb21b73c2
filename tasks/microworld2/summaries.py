"""Summarisation, two tasks, generated and scored by exact match with ROUGE-L beside it.

Rows: {"story": "ann went to the park . tom ran to the zoo . ann lost the key on monday . ann was sad ."} -> "ann lost the key in
the park on monday", and {"dialogue": "ann : let us meet on monday in the park . tom : or in the zoo ? ann : no . …"} -> "ann
and tom meet in the park on monday". The level is how much else happens, or the number of proposals.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row


def gist(label: int, level: int, rng: Random) -> Row:
    """Return a story whose point is what happened to the one of two people whose feeling is told.

    On level 1 the other only moves, on level 2 something happens to both, on level 3 both have been elsewhere before.
    """
    del label
    names, places, days = rng.sample(world.PEOPLE, 2), rng.sample(lex.PLACES, 4), rng.sample(lex.DAYS, 2)
    events = rng.sample(lex.SOCIAL, 2)
    lines = [
        [_went(name, place, rng), f"{name} {event[0]} on {day} ."]
        for name, place, event, day in zip(names, places, events, days, strict=False)
    ]
    if level == 1:
        del lines[1][1]
    if level == 3:
        for line, name, place in zip(lines, names, places[2:], strict=True):
            line.insert(0, _went(name, place, rng))
    sentences = [*_woven(lines, rng), f"{names[0]} was {events[0][1]} ."]
    return Row(
        {"story": " ".join(sentences)}, None, target=f"{names[0]} {events[0][0]} in the {places[0]} on {days[0]}"
    )


def _went(name: str, place: str, rng: Random) -> str:
    return f"{name} {rng.choice(lex.MOVES)[0]} to the {place} ."


def _woven(lines: list[list[str]], rng: Random) -> list[str]:
    """Return the sentences of several lines in one order that keeps the order of each line."""
    turns = [at for at, line in enumerate(lines) for _ in line]
    left = [iter(line) for line in lines]
    return [next(left[at]) for at in rng.sample(turns, len(turns))]


def plan(label: int, level: int, rng: Random) -> Row:
    """Return a talk of two about where and when to meet, with `level` proposals that are accepted or refused."""
    del label
    first, second = rng.sample(world.PEOPLE, 2)
    places, days = rng.sample(lex.PLACES, level + 1), rng.sample(lex.DAYS, level + 1)
    place, day, speaker, other = places[0], days[0], second, first
    sentences = [f"{first} : let us meet {rng.choice((f'on {day} in the {place}', f'in the {place} on {day}'))} ."]
    for turn in range(1, level + 1):
        moves, accepted = rng.random() < 0.5, rng.random() < 0.5
        proposal = f"in the {places[turn]}" if moves else f"on {days[turn]}"
        sentences.append(f"{speaker} : or {proposal} ? {other} : {'yes' if accepted else 'no'} .")
        if accepted:
            place, day = (places[turn], day) if moves else (place, days[turn])
        speaker, other = rng.choice(((speaker, other), (other, speaker)))
    sentences.append(f"{speaker} : {rng.choice(('fine', 'good'))} , i have {world.a(rng.choice(world.THINGS))} .")
    return Row({"dialogue": " ".join(sentences)}, None, target=f"{first} and {second} meet in the {place} on {day}")
