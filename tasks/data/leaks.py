"""Rows of test and validation that are also in train: their score measures memory."""

from collections.abc import Iterable

from tasks import templates
from tasks.base import Example, Task


def describe(task: Task) -> str:
    """Return "40 of 40 test rows are also in train; …" for the splits that have such rows, "" for none.

    Rows of validation count as train for a test: they select, and are often carved from train. Two rows are the same
    where the columns of the template and the options are, whatever their labels are.
    """
    columns = sorted(templates.columns(task.template))
    train = set(_known(task.splits.train, columns))
    validation = set(_known(task.splits.validation, columns))
    lines = []
    for split, rows in task.splits.named().items():
        chosen = validation - train if split not in ("train", "validation") else set()
        known = [] if split == "train" else list(_known(rows, columns))
        learnt, selected = sum(row in train for row in known), sum(row in chosen for row in known)
        part = f" ({selected} of them in the part that is kept for validation)" if selected else ""
        if learnt + selected:
            lines.append(f"{learnt + selected} of {len(rows)} {split} rows are also in train{part}")
    return "; ".join(lines)


def _known(rows: Iterable[Example], columns: list[str]) -> Iterable[int]:
    """Yield a number of 64 bits for each row's texts: cheap for big sets, and two rows seldom share one."""
    for row in rows:
        yield hash((*(row.fields.get(name) for name in columns), *row.choices))
