"""Short labels for cells in a table, from the fields that differ and only from those."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness import formatting
from harness.config.schema import ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError, plain
from harness.store import identity
from harness.store.columns import method_fields, solved
from methods.registry import BUDGET

Fields = Mapping[str, Any]
LONGEST = 24
"""Characters of a value that stands in a label as it is."""


@dataclass(frozen=True)
class CellLabel:
    """The labels of one cell among others.

    arm: the method with what else is compared; the learning rate is chosen, not compared. rate: " learning_rate=3e-3"
    where cells of this model, task and arm differ in it, else "".
    """

    model: str
    task: str
    arm: str
    rate: str


def of_cells(
    cells: Sequence[Fields], apart: Collection[str] = (), sizes: Sequence[Fields] | None = None
) -> list[CellLabel]:
    """Return the labels of cells as JSON (record["cell"]), which tell each from the others.

    apart: fields as on the command line, such as method.rank, that are named elsewhere and so in no label. sizes: of
    each cell, the field that a budget chose with its value (`columns.solved`), which matters where it is apart.
    """
    models = labels([c["model"]["name"] for c in cells], [0] * len(cells), [_model(c) for c in cells],
                    _of_group("model", apart))  # fmt: skip
    tasks = labels([c["task"]["name"] for c in cells], models, [_task(c) for c in cells], _of_group("task", apart))
    places = list(zip(models, tasks, strict=True))
    origins = _origins(cells)
    elsewhere = _of_arm(apart)
    chosen = [solved(cell["method"]) for cell in cells] if sizes is None else sizes
    rows = [_arm(*each, elsewhere) for each in zip(cells, origins, chosen, strict=True)]
    arms = labels([c["method"]["name"] for c in cells], places, rows, elsewhere)
    rates = [{"learning_rate": formatting.rate(float(c["recipe"]["learning_rate"]))} for c in cells]
    tails = labels([""] * len(cells), list(zip(models, tasks, arms, strict=True)), rates)
    return [CellLabel(*parts) for parts in zip(models, tasks, arms, tails, strict=True)]


def _of_group(group: str, apart: Collection[str]) -> list[str]:
    """Return the names, without the group, of the fields of one group."""
    return [name.partition(".")[2] for name in apart if name.startswith(f"{group}.")]


def _of_arm(apart: Collection[str]) -> list[str]:
    """Return the names that these fields have in `_arm`."""
    return [*_of_group("method", apart), *(name for name in apart if not name.startswith("method."))]


def _model(cell: Fields) -> dict[str, Any]:
    return {**_identity(cell["model"], ModelConfig), "name": ""}


def _task(cell: Fields) -> dict[str, Any]:
    """Return what tells tasks apart. The digest follows from the others, so it comes last."""
    task = {**_identity(cell["task"], TaskConfig), "name": ""}
    return {**{name: value for name, value in task.items() if name != "digest"}, "digest": task["digest"]}


def _origins(cells: Sequence[Fields]) -> list[str]:
    """Return for each cell what it builds on, such as "lora on micro/qa", of those parents that are among the cells.

    Several parents have each name once, and no task where all are of the cell's own.
    """
    if not any(cell.get("parents") for cell in cells):
        return [""] * len(cells)
    wanted = {key for cell in cells for _, key in cell.get("parents") or ()}
    names = {}
    for cell in cells:
        with suppress(UsageError):  # a record of a version with other fields
            if (key := identity.key(identity.from_json(cell))) in wanted:
                names[key] = f"{cell['method']['name']} on {cell['task']['name']}"
    return [_origin([names.get(key, "") for _, key in cell.get("parents") or ()], cell) for cell in cells]


def _origin(names: Sequence[str], cell: Fields) -> str:
    own = f" on {cell['task']['name']}"
    several, names = len(names) > 1, [name for name in names if name]
    if several and all(name.endswith(own) for name in names):
        names = [name.removesuffix(own) for name in names]
    return "+".join(dict.fromkeys(names) if len(names) > 1 else names)


@dataclass(frozen=True)
class Budget:
    """What stands in place of the size that a budget chooses: a label has the budget, and no size that is not used."""

    share: Any

    def __str__(self) -> str:
        return f"{BUDGET}={self.share}"


def _method(method: Fields, sizes: Fields, apart: Collection[str]) -> dict[str, Any]:
    """Return a method's fields, the budget in place of the size, where neither is named elsewhere."""
    row = {**method_fields(method), **sizes}
    for size in sizes:
        if not {size, BUDGET} & set(apart):
            row[size] = Budget(row.pop(BUDGET))
    return row


def _arm(cell: Fields, origin: str, sizes: Fields, apart: Collection[str]) -> dict[str, Any]:
    """Return the method's fields, then what else may be compared."""
    method = _method(cell["method"], sizes, apart)
    recipe = {**_identity(cell["recipe"], RecipeConfig), "learning_rate": None}
    roles = "+".join(role for role, _ in cell.get("parents") or ())
    named = {f"recipe.{name}": value for name, value in recipe.items()}
    return {**method, "objective": cell["objective"], "parents": roles, "from": origin, **named}


def _identity(part: Fields, kind: type) -> dict[str, Any]:
    """Return the identity fields; a record from before a field existed has it at its default, as in the key."""
    return {name: part.get(name, default) for name, default in _fields(kind)}


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return the identity fields of a config with their defaults."""
    known = [field for field in dataclasses.fields(kind) if field.metadata.get("kind") == "identity"]
    return tuple((field.name, field.default) for field in known)


def distinguishing(rows: Sequence[Fields]) -> tuple[str, ...]:
    """Return the fewest leading fields by which `rows` differ: with rank 4 and 8, alpha = 2 * rank adds nothing."""
    names = dict.fromkeys(name for row in rows for name in row)
    varying = [name for name in names if _varies(rows, name)]
    needed: list[str] = []
    for name in varying:
        if _distinct(rows, [*needed, name]) > _distinct(rows, needed):
            needed.append(name)
    return tuple(needed)


def _varies(rows: Sequence[Fields], name: str) -> bool:
    """Return whether a field has two values in these rows."""
    first = rows[0].get(name)
    for row in rows:
        value = row.get(name)
        same = value is first or (
            type(value) is type(first) and isinstance(value, str | int | float) and value == first
        )
        if not same and _key(value) != _key(first):
            return True
    return False


def labels(
    names: Sequence[str], places: Sequence[Any], rows: Sequence[Fields], apart: Collection[str] = ()
) -> list[str]:
    """Return one label per cell: its name, and `field=value` for the fields that differ among cells of that name.

    places: what the cell stands beside (its model, its task): only cells of one name in one place are differing
    apart, so a field that merely follows the place makes no second label. apart: fields that are named elsewhere. No
    label has them, nor a field that merely follows them.
    """
    rows = [{**{name: row[name] for name in apart if name in row}, **row} for row in rows] if apart else rows
    groups: dict[tuple[str, Any], list[int]] = {}
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        groups.setdefault((name, place), []).append(index)
    differing: dict[str, dict[str, None]] = {}
    for (name, _), members in groups.items():
        fields = [field for field in distinguishing([rows[index] for index in members]) if field not in apart]
        differing.setdefault(name, {}).update(dict.fromkeys(fields))
    whole = {name for name, fields in differing.items() if _alike(name, names, rows, tuple(fields))}
    return [_label(name, row, tuple(differing[name]), name in whole) for name, row in zip(names, rows, strict=True)]


def _alike(name: str, names: Sequence[str], rows: Sequence[Fields], fields: tuple[str, ...]) -> bool:
    """Return whether short texts of these fields would give different cells of one name the same label."""
    mine = [row for own, row in zip(names, rows, strict=True) if own == name]
    return len({_label(name, row, fields, False) for row in mine}) < _distinct(mine, fields)


def _label(name: str, row: Fields, fields: tuple[str, ...], whole: bool) -> str:
    return " ".join([name, *(_field(field, row, whole) for field in fields)])


def _field(field: str, row: Fields, whole: bool) -> str:
    value = row.get(field)
    return str(value) if isinstance(value, Budget) else f"{_short(field, row)}={_text(value, whole)}"


def _short(field: str, row: Fields) -> str:
    """Return recipe.steps as "steps", and as it is where another field is called so, as a method's own dropout."""
    short = field.rpartition(".")[2]
    return field if short in row else short


def _text(value: Any, whole: bool) -> str:
    """Return a value as text. A long one is cut, unless it has to be `whole`; of a long list the first words remain."""
    texts = list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
    text = "+".join(texts)
    if whole or len(text) <= LONGEST:
        return plain(text)
    return plain("+".join(part.partition(" ")[0] for part in texts) if len(texts) > 1 else text[:8])


def _key(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | tuple | dict) else value


def _distinct(rows: Sequence[Fields], names: Sequence[str]) -> int:
    return len({tuple(_key(row.get(name)) for name in names) for row in rows})
