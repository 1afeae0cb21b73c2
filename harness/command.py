"""The command that runs a cell again, as short as the YAML files allow. Torch-free."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import methods
from harness import compose, grid, options
from harness.config import Cell, ModelConfig, RecipeConfig, TaskConfig, parse_fields

SETTLED = {
    "model": ("location", "revision", "source", "hub"),
    "task": ("digest",),
    "recipe": ("learning_rate",),
}
"""Fields that follow from others, or are treated apart."""


def command(cell: Cell) -> str:
    """`deltabench run …` with the choices and the fields that differ from their YAML."""
    named = {part: getattr(cell, part).name for part in options.GROUPS}
    known = {part: name for part, name in named.items() if name in options.names(part)}
    composed = compose.load(known.items())
    values = {part: composed.get((part, name), {"name": name}) for part, name in named.items()}
    words = [
        f"{part}={name}" for part, name in named.items() if part != "recipe" or name != values["model"].get("recipe")
    ]
    words += _method(cell, values["method"])
    for part, kind in (("model", ModelConfig), ("task", TaskConfig), ("recipe", RecipeConfig)):
        words += _part(part, kind, getattr(cell, part), values[part])
    rate = grid.learning_rate(values["recipe"].get("learning_rate"), cell.method.name, None)
    if rate != cell.recipe.learning_rate:
        words.append(f"recipe.learning_rate={cell.recipe.learning_rate:g}")
    if cell.objective != cell.model.objective:
        words.append(f"objective={cell.objective}")
    words += [f"parents.{role}={key}" for role, key in cell.parents]
    return shlex.join(["deltabench", "run", *words, f"seed={cell.seed}"])


def _method(cell: Cell, values: Mapping[str, Any]) -> Iterator[str]:
    given = {name: value for name, value in values.items() if name != "name"}
    usual = methods.resolve(cell.method.name, given) if cell.method.name in methods.catalogue() else {}
    for name, value in cell.method.fields.items():
        if name not in usual or usual[name] != value:
            yield f"method.{name}={_word(value)}"


def _part(part: str, kind: type[Any], config: Any, values: Mapping[str, Any]) -> Iterator[str]:
    given = {name: value for name, value in values.items() if value is not None and name not in SETTLED[part]}
    usual = parse_fields(kind, given, part)
    for field in fields(kind):
        value = getattr(config, field.name)
        if field.name not in (*SETTLED[part], "name") and value != usual.get(field.name, field.default):
            yield f"{part}.{field.name}={_word(value)}"


def _word(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(str, value)) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
