"""The axes of a table of cells: any field of a cell can be one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import formatting
from harness.analysis.study import selection
from harness.config.schema import RecipeConfig
from harness.errors import UsageError, near
from harness.experiments.grids import labels
from harness.store import columns

if TYPE_CHECKING:
    import pandas as pd

MODEL_FIELD = "model."
METHOD, MODEL, TASK, SET, RATE = "method", "model", "task", "set", "recipe.learning_rate"
NAMES = (METHOD, MODEL, TASK, SET, "objective", "recipe", "seed", "parents")
"""Axes that are no single field; `set` is one of a task's evaluation sets."""
ABSENT = "—"
Cells = Sequence[Mapping[str, Any]]


def parse(text: str, cells: Cells) -> tuple[str, str]:
    """Return the axes of a text "ROWS,COLUMNS" or "ROWS"; the second is "" then.

    Raise UsageError for an axis that none of the cells (record["cell"]) has.
    """
    axes = [part.strip() for part in text.split(",")]
    if not 1 <= len(axes) <= 2 or not all(axes):
        raise UsageError(f"--by {text}: name one axis or two, rows first, such as --by method,task.")
    known = names(cells)
    for axis in axes:
        if axis not in known:
            raise UsageError(f"--by {axis}: no cell here has this field.{near(axis, known)}")
    if len(set(axes)) < len(axes):
        raise UsageError(f"--by {text}: rows and columns are the same axis; name two.")
    return axes[0], axes[1] if len(axes) == 2 else ""


def names(cells: Cells) -> list[str]:
    """Return the name of every axis that some cell has."""
    fields = {name for cell in cells for name in columns.flat({"cell": cell})}
    return [*NAMES, *sorted(fields)]


def placed(rows: "pd.DataFrame", cells: Mapping[str, Mapping[str, Any]], by: tuple[str, str]) -> "pd.DataFrame":
    """Return the rows of scores with their place in the tables.

    Columns added: table (what is on no axis and may not be averaged), row and column (texts), and plain_task, the task
    without fields that are on an axis. Without a second axis the metrics are the columns, where there are several.
    cells: key -> cell, of all cells of these rows, so that their labels tell them apart.
    """
    apart = _apart(by)
    solved = dict(zip(rows.key, rows.solved, strict=True))
    sizes = [solved[key] for key in cells]
    named = dict(zip(cells, labels.of_cells(list(cells.values()), apart, sizes), strict=True))
    shown = [named[key] for key in rows.key]
    several = rows.task.nunique() > 1
    each = list(zip(rows[["cell", "solved", "set", "learning_rate"]].to_dict("records"), shown, strict=True))
    values = {axis: [_value(axis, row, label, several) for row, label in each] for axis in by}
    if rows.metric.nunique() > 1 and "" in by:
        values[""] = [str(metric) for metric in rows.metric]
    tables = [_table(label, by) for label in shown]
    names = [label.task for label in shown]
    return rows.assign(table=tables, row=values[by[0]], column=values[by[1]], plain_task=names)


def ordered(axis: str, values: Iterable[str]) -> list[str]:
    """Return an axis' values, each once: numbers by size, names in order of appearance, ABSENT last.

    The arms of one method stand together, by the numbers in their names.
    """
    distinct = list(dict.fromkeys(values))
    if axis == METHOD:
        methods = tuple(dict.fromkeys(arm.split(" ")[0] for arm in distinct))
        return sorted(distinct, key=lambda arm: selection.arm_place(arm, methods))
    numbers = {value: _size(value) for value in distinct}
    if all(size is not None for value, size in numbers.items() if value != ABSENT):
        return sorted(distinct, key=lambda value: (value == ABSENT, numbers[value] or 0.0))
    return sorted(distinct, key=lambda value: value == ABSENT)


def _apart(by: tuple[str, str]) -> list[str]:
    """Return the fields that are on an axis, so that no other label has them."""
    fields = [name for name in by if "." in name or name in ("objective", "parents")]
    recipe = [f"recipe.{name}" for name in RecipeConfig.__dataclass_fields__] if "recipe" in by else []
    return [*fields, *recipe]


def groups_models(axis: str) -> bool:
    """Return whether an axis is a field of models, so that several models can stand in one place of a table."""
    return axis.startswith(MODEL_FIELD)


def _table(label: labels.CellLabel, by: tuple[str, str]) -> str:
    named = MODEL in by or any(map(groups_models, by))
    parts = ([] if named else [label.model]) + ([] if METHOD in by else [label.arm])
    return ", ".join(parts) or "all cells"


def _value(axis: str, row: Mapping[Any, Any], label: labels.CellLabel, several: bool) -> str:
    """Return a row's value on an axis as text; several: whether the rows are of several tasks."""
    cell = row["cell"]
    if axis in (METHOD, MODEL, TASK):
        return str({METHOD: label.arm, MODEL: label.model, TASK: label.task}[axis])
    if axis == SET:
        return f"{label.task}:{row['set']}" if several else str(row["set"])
    if axis == RATE:
        return formatting.rate(float(row["learning_rate"]))
    if axis == "parents":
        return "+".join(role for role, _ in cell.get("parents") or ()) or ABSENT
    if axis in ("", "recipe", "objective", "seed"):
        return {"": "", "recipe": cell["recipe"].get("name") or ABSENT}.get(axis, str(cell.get(axis)))
    fields = columns.flat({"cell": cell}) | {f"method.{name}": size for name, size in row["solved"].items()}
    return ABSENT if axis not in fields else "null" if fields[axis] is None else formatting.value(fields[axis])


def _size(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
