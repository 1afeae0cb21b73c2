"""Seeded choices of rows: a smaller split, or a validation split carved from train."""

import random
from collections.abc import Sequence
from dataclasses import replace

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks.base import Example, Splits


def carve(rows: Sequence[Example], n: int, seed: int) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return (chosen, others): `n` rows drawn at random in proportion to the labels; both keep their order."""
    picked = set(_draw(rows, n, seed))
    chosen = tuple(row for i, row in enumerate(rows) if i in picked)
    return chosen, tuple(row for i, row in enumerate(rows) if i not in picked)


def limit(splits: Splits, config: TaskConfig) -> Splits:
    """Return the splits cut to the configured sizes. Raise UsageError where a split has fewer rows than configured."""
    seed = config.split_seed

    def cut(rows: tuple[Example, ...], size: int | None, field: str, split: str) -> tuple[Example, ...]:
        if size is None:
            return rows
        if size > len(rows):
            raise UsageError(
                f"task.{field}={size}: the {split} split of {config.name} has {len(rows)} rows. Choose at most that."
            )
        return carve(rows, size, seed)[0]

    return replace(
        splits,
        train=cut(splits.train, config.train_size, "train_size", "train"),
        validation=cut(splits.validation, config.validation_size, "validation_size", "validation"),
        tests={name: cut(rows, config.test_size, "test_size", name) for name, rows in splits.tests.items()},
    )


def _draw(rows: Sequence[Example], n: int, seed: int) -> list[int]:
    """Return the indices of `n` rows: each label gives its share (largest remainders first), drawn at random."""
    generator = random.Random(f"{seed}:{len(rows)}")
    groups: dict[int | None, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.label if isinstance(row.label, int) else None, []).append(i)
    exact = {label: n * len(group) / len(rows) for label, group in groups.items()}
    quota = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(groups, key=lambda label: quota[label] - exact[label])
    for label in by_remainder[: n - sum(quota.values())]:
        quota[label] += 1
    return [i for label, group in groups.items() for i in generator.sample(group, quota[label])]
