"""Several figures of the same cells side by side: tables of one column each, joined."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.analysis.output.table import MISSING, Entry, Table
from harness.analysis.study.measures import Measure

TAIL = ("n", "rate")


def joined(made: Sequence[Sequence[Table]], many: Sequence[Measure], leading: int = 0) -> list[Table]:
    """Return one table for each model, with a column for each measure and the tail of the leading one.

    made: the tables of each measure, by rows alone. leading: the measure whose rows and order count; rows that only
    others have stand below.
    """
    models = dict.fromkeys(table.model for tables in (made[leading], *made) for table in tables)
    return [_joined([_of(tables, model) for tables in made], many, leading) for model in models]


def _of(tables: Sequence[Table], model: str) -> Table | None:
    return next((table for table in tables if table.model == model), None)


def _joined(tables: Sequence[Table | None], many: Sequence[Measure], leading: int) -> Table:
    known = [table for table in (tables[leading], *tables) if table is not None]
    first = known[0]
    tail = [head for head in first.columns if head in TAIL]
    rows = {str(row[0].value): row for table in reversed(known) for row in table.rows}
    labels = list(dict.fromkeys(str(row[0].value) for table in known for row in table.rows))
    figures = [column for table, measure in zip(tables, many, strict=True) for column in _columns(table, measure)]
    body = [
        (
            rows[label][0],
            *(column.get(label, Entry(MISSING)) for _, column in figures),
            *(rows[label][first.columns.index(head)] for head in tail),
        )
        for label in labels
    ]
    heads = (first.columns[0], *(head for head, _ in figures), *tail)
    title = f"{', '.join(measure.title for measure in many)} by {first.columns[0]}"
    notes = dict.fromkeys(note for table in tables if table is not None for note in table.notes)
    return replace(first, title=title[:1].upper() + title[1:], columns=heads, rows=tuple(body), notes=tuple(notes))


def _columns(table: Table | None, measure: Measure) -> Iterator[tuple[str, dict[str, Entry]]]:
    """Yield (heading with unit, row -> entry) of a measure's columns; a table that has none gives an empty one."""
    unit = f" ({measure.unit})" if measure.unit else ""
    if table is None:
        yield f"{measure.title}{unit}", {}
        return
    for at, head in enumerate(table.columns):
        if at > 0 and head not in TAIL:
            yield f"{head}{unit}", {str(row[0].value): row[at] for row in table.rows}
