"""What a reader of a score should know of a task's rows: which of them train has, too, and which can teach little."""

from collections.abc import Iterable, Sequence

from tasks import templates
from tasks.base import Example, Task


def leaked(task: Task) -> str:
    """Return "40 of 40 test rows are also in train; …" for the splits that have such rows, "" for none.

    The score of such rows measures memory. Rows of validation count as train for a test: they select, and are often
    carved from train. Two rows are the same where the columns of the template and the options are, whatever their
    labels are.
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


def poor(task: Task) -> tuple[str, ...]:
    """Return a sentence for each way in which the rows of splits teach or measure little.

    A split has one answer alone; texts of a split have two labels; its texts are empty.
    """
    kinds = (_one_answer, _two_labels, _empty)
    lines = ["; ".join(filter(None, (kind(task, *split) for split in task.splits.named().items()))) for kind in kinds]
    return tuple(filter(None, lines))


def _one_answer(task: Task, split: str, rows: Sequence[Example]) -> str:
    first, word = task.target(rows[0]), "label" if task.answer == "label" else "answer"
    if len(rows) < 2 or any(task.target(row) != first for row in rows):
        return ""
    return f"all {len(rows)} rows of its {split} split have the {word} {first[:40]!r}"


def _two_labels(task: Task, split: str, rows: Sequence[Example]) -> str:
    """Look at labels alone: a text may well have several good answers."""
    if task.answer != "label":
        return ""
    columns = sorted(templates.columns(task.template))
    first: dict[int, int | float | None] = {}
    texts = [text if _has_text(row, columns) else None for row, text in zip(rows, _known(rows, columns), strict=True)]
    pairs = [(text, row.label) for text, row in zip(texts, rows, strict=True) if text is not None]
    doubtful = {text for text, label in pairs if first.setdefault(text, label) != label}
    if not doubtful:
        return ""
    count = sum(text in doubtful for text, _ in pairs)
    return f"{count} of {len(rows)} rows of its {split} split have a text that also has another label there"


def _empty(task: Task, split: str, rows: Sequence[Example]) -> str:
    columns = sorted(templates.columns(task.template))
    count = sum(not _has_text(row, columns) for row in rows)
    return f"{count} of {len(rows)} texts of its {split} split are empty" if count else ""


def _has_text(row: Example, columns: Sequence[str]) -> bool:
    return any((row.fields.get(name) or "").strip() for name in columns)


def _known(rows: Iterable[Example], columns: Sequence[str]) -> Iterable[int]:
    """Yield a number of 64 bits for each row's texts: cheap for big sets, and two rows seldom share one."""
    for row in rows:
        yield hash((*(row.fields.get(name) for name in columns), *row.choices))
