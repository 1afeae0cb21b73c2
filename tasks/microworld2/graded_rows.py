"""Rows of a task with a difficulty: how they become disjoint, balanced splits with an exact share of every level.

A row's form is its text with the names of people replaced by their order of appearance. The form's own hash decides the
split, so a test row is no training row with other names.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from random import Random

from tasks.base import Example, Splits
from tasks.microworld import world
from tasks.microworld.rows import Row
from tasks.microworld2 import VERSION

SIZES = {"train": 4096, "validation": 512, "test": 3328}
"""With 3,328 test rows the noise of the rows is 0.7 points at a score of 80 %, and a mean over tasks has less."""
HOMES = (("train", 5), ("validation", 1), ("test", 4))
ATTEMPTS = 60_000
Maker = Callable[[int, int, Random], Row]
"""Make a row from (label or position of the answer, level from 1, random numbers)."""
_NAME = re.compile(rf"\b({'|'.join(world.PEOPLE)})\b")


def form(text: str) -> str:
    """Return a text with each person's name replaced by a number, in the order of their appearance."""
    seen: dict[str, str] = {}
    return _NAME.sub(lambda match: seen.setdefault(match[0], f"<{len(seen) + 1}>"), text)


def text_of(row: Row) -> str:
    """Return the fields of a row as one text."""
    return " | ".join(row.fields.values())


def home(shape: str) -> str:
    """Return the one split that rows of this form may stand in."""
    at = hashlib.sha256(shape.encode()).digest()[0] % sum(share for _, share in HOMES)
    for split, share in HOMES:
        if at < share:
            return split
        at -= share
    raise AssertionError(at)


def rooms(sizes: Mapping[str, int], labels: int, shares: Mapping[int, int]) -> dict[tuple[str, int, int], int]:
    """Return how many rows of every (split, level, label) there are; shares: level -> percent, together 100."""
    room: dict[tuple[str, int, int], int] = {}
    for split, size in sizes.items():
        levels = {level: size * percent // 100 for level, percent in shares.items()}
        levels[min(levels)] += size - sum(levels.values())
        for level, count in levels.items():
            for label in range(labels):
                room[split, level, label] = count // labels + ((label + level) % labels < count % labels)
    return room


def splits(maker: Maker, labels: int, seed: str, shares: Mapping[int, int], sizes: Mapping[str, int] = SIZES) -> Splits:
    """Return rows of distinct forms in seeded order. Raise ValueError where a maker has too few forms."""
    rng, room = Random(f"microworld {VERSION} {seed}"), rooms(sizes, labels, shares)
    drawn: dict[str, list[tuple[int, Row]]] = {split: [] for split in sizes}
    seen: set[str] = set()
    for _ in range(ATTEMPTS):
        open_ = {(level, label) for (_, level, label), left in room.items() if left}
        if not open_:
            break
        for level, label in sorted(open_):
            row = maker(label, level, rng)
            shape = form(text_of(row))
            split = home(shape)
            if room[split, level, label] and shape not in seen:
                seen.add(shape)
                room[split, level, label] -= 1
                drawn[split].append((level, row))
    if any(room.values()):
        raise ValueError(f"{seed} has too few distinct forms: {sum(room.values())} rows are missing")
    made = {split: _examples(split, rng.sample(rows, len(rows))) for split, rows in drawn.items()}
    return Splits(made["train"], made["validation"], {"test": made["test"]})


def _examples(split: str, rows: list[tuple[int, Row]]) -> tuple[Example, ...]:
    return tuple(
        Example(f"{split}-{i}-level{level}", row.fields, row.label, row.target, row.choices)
        for i, (level, row) in enumerate(rows)
    )
