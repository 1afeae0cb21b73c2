"""Rows of a generated task and how they become disjoint, balanced splits."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from tasks.base import Example, Splits
from tasks.microworld import lexicon

SIZES = {"train": 512, "validation": 256, "test": 512}
ATTEMPTS = 20_000
_SHARES = (("train", 5), ("validation", 2), ("test", 3))


@dataclass(frozen=True)
class Row:
    """An example before it has an id: fields, label, and a target text or choices where there are some."""

    fields: Mapping[str, str]
    label: int | None
    target: str | None = None
    choices: tuple[str, ...] = ()


Maker = Callable[[int, Random], Row]


def _text(row: Row) -> str:
    return " | ".join(row.fields.values())


def _home(text: str) -> str:
    """Return the one split that a text may stand in.

    Its own hash decides, so that splits cannot share a row.
    """
    at = hashlib.sha256(text.encode()).digest()[0] % sum(share for _, share in _SHARES)
    for split, share in _SHARES:
        if at < share:
            return split
        at -= share
    raise AssertionError(at)


def splits(maker: Maker, labels: int, seed: str, sizes: Mapping[str, int] = SIZES) -> Splits:
    """Return distinct rows, the same number of each label (or answer position) in every split."""
    rng = Random(f"microworld {lexicon.VERSION} {seed}")
    room = {
        (split, label): size // labels + (label < size % labels)
        for split, size in sizes.items()
        for label in range(labels)
    }
    rows: dict[str, list[Example]] = {split: [] for split in sizes}
    seen: set[str] = set()
    for _ in range(ATTEMPTS):
        if not any(room.values()):
            return Splits(tuple(rows["train"]), tuple(rows["validation"]), {"test": tuple(rows["test"])})
        for label in range(labels):
            row = maker(label, rng)
            text = _text(row)
            split = _home(text)
            if text in seen or not room[split, label]:
                continue
            seen.add(text)
            room[split, label] -= 1
            example = Example(f"{split}-{len(rows[split])}", row.fields, row.label, row.target, row.choices)
            rows[split].append(example)
    raise ValueError(f"{seed} has too few distinct rows: {sum(room.values())} are missing after {ATTEMPTS} attempts")


def mixed(each: Mapping[str, Splits], seed: str) -> Splits:
    """Return one training and one validation set of all tasks, in a seeded order, and each task's test set under its
    name.
    """
    rng = Random(f"microworld {lexicon.VERSION} {seed} mixed")

    def together(split: str) -> tuple[Example, ...]:
        rows = [replace(row, id=f"{name}-{row.id}") for name, splits in each.items() for row in splits.named()[split]]
        return tuple(rng.sample(rows, len(rows)))

    return Splits(
        together("train"), together("validation"), {name: splits.tests["test"] for name, splits in each.items()}
    )
