"""Rows of a generated task and how they become disjoint, balanced splits."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from tasks.base import Example, Splits
from tasks.microworld import lexicon

SIZES = {"train": 512, "validation": 256, "test": 512}
MOST_TEST_ROWS, MOST_VALIDATION_ROWS = 8192, 4096
ATTEMPTS = 200_000
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


def splits(
    maker: Maker,
    labels: int,
    seed: str,
    sizes: Mapping[str, int] = SIZES,
    test_rows: int = 0,
    validation_rows: int = 0,
) -> Splits:
    """Return distinct rows, the same number of each label (or answer position) in every split.

    Where `test_rows` or `validation_rows` is more than the split's size, further rows follow those of that size, which
    stay the same, as do the rows of the other splits.
    """
    rng = Random(f"microworld {lexicon.VERSION} {seed}")
    rows: dict[str, list[Example]] = {split: [] for split in sizes}
    seen: set[str] = set()
    _fill(rows, seen, maker, rng, _room(sizes, labels), seed)
    more = max(test_rows - sizes["test"], 0)
    _fill(rows, seen, maker, rng, _room({"test": more}, labels), seed)
    # Random numbers of their own: so the number of test rows changes no validation row.
    further = Random(f"microworld {lexicon.VERSION} {seed} validation")
    more = max(validation_rows - sizes["validation"], 0)
    _fill(rows, seen, maker, further, _room({"validation": more}, labels), seed)
    return Splits(tuple(rows["train"]), tuple(rows["validation"]), {"test": tuple(rows["test"])})


def _room(sizes: Mapping[str, int], labels: int) -> dict[tuple[str, int], int]:
    return {
        (split, label): size // labels + (label < size % labels)
        for split, size in sizes.items()
        for label in range(labels)
    }


def _fill(
    rows: dict[str, list[Example]],
    seen: set[str],
    maker: Maker,
    rng: Random,
    room: dict[tuple[str, int], int],
    seed: str,
) -> None:
    """Add new rows to the splits until there is room for no more of any label. Raise ValueError where too few exist."""
    labels = sorted({label for _, label in room})
    for _ in range(ATTEMPTS):
        if not any(room.values()):
            return
        for label in labels:
            row = maker(label, rng)
            text = _text(row)
            split = _home(text)
            if text in seen or not room.get((split, label)):
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
