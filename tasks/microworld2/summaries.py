"""Summarisation, two tasks, generated and scored by exact match with ROUGE-L beside it.

Rows: {"story": "ann went to the park . tom ran to the zoo . ann lost the key on monday . ann was sad ."} -> "ann lost the key in
the park on monday", and {"dialogue": "ann : let us meet on monday in the park . tom : or in the zoo ? ann : no . …"} -> "ann
and tom meet in the park on monday". The level is how much else happens, or how often they go back.
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
    """Return a talk of two about where and when to meet, with three proposals that are accepted or refused.

    From level 2 on they go back to the first place or day, or to the one before; on level 3 twice.
    """
    del label
    first, second = rng.sample(world.PEOPLE, 2)
    places, days = rng.sample(lex.PLACES, 4), rng.sample(lex.DAYS, 4)
    agreed = {"place": [places[0]], "day": [days[0]]}
    sentences = [f"{first} : let us meet on {days[0]} in the {places[0]} ."]
    for turn in range(1, 4):
        slot, accepted = rng.choice(("place", "day")), rng.random() < 0.6
        new = (places if slot == "place" else days)[turn]
        speaker, other = rng.sample((first, second), 2)
        proposal = f"in the {new}" if slot == "place" else f"on {new}"
        sentences.append(f"{speaker} : or {proposal} ? {other} : {'yes' if accepted else 'no'} .")
        if accepted:
            agreed[slot].append(new)
    for _ in range(level - 1):
        slot, at = max(agreed, key=lambda name: len(agreed[name])), rng.choice((0, -2))
        sentences.append(
            f"{rng.choice((first, second))} : no , the {f'first {slot}' if at == 0 else f'{slot} before'} ."
        )
        agreed[slot] = agreed[slot][:1] if at == 0 else agreed[slot][:-1] or agreed[slot]
    return Row(
        {"dialogue": " ".join(sentences)},
        None,
        target=f"{first} and {second} meet in the {agreed['place'][-1]} on {agreed['day'][-1]}",
    )
