"""The command that runs a cell again, as short as the YAML files allow. Torch-free."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.config import compose, conf_files, yaml_values
from harness.config.schema import Cell, ModelConfig, RecipeConfig, TaskConfig, build, parse_fields
from harness.errors import UsageError
from harness.experiments import declared_types, grid, options
from harness.models import weight_files
from methods import registry as methods

SETTLED = {
    "model": ("location", "revision", "source", "hub"),
    "task": ("digest",),
    "recipe": ("learning_rate",),
}
"""Fields that follow from others, or are treated apart."""


def command(cell: Cell) -> str:
    """`deltabench run …` with the choices and the fields that differ from their YAML: it plans the very same key.

    It names the user's folder of YAML (`--config-dir`) where ours do not have all of the cell's choices.
    """
    folder = _folder(cell)
    with conf_files.looking_into(folder):
        words = _words(cell)
    place = [] if folder is None else ["--config-dir", str(folder)]
    return shlex.join(["deltabench", "run", *place, *words])


def missing(cell: Cell) -> str | None:
    """Which choice of the cell no YAML and no package here has, so that no command can name it; None where all are."""
    with conf_files.looking_into(_folder(cell)):
        lost = next((part for part in conf_files.GROUPS if _option(part, getattr(cell, part).name) is None), None)
    if lost is None:
        return None
    name = getattr(cell, lost).name
    where = f" It was planned with --config-dir {cell.config_dir}, which has none now." if cell.config_dir else ""
    return (
        f"no YAML and no package here has the {lost} {name!r}.{where} Name the folder that holds {lost}/{name}.yaml "
        "with --config-dir, or install its package, and this page tells the command."
    )


def _folder(cell: Cell) -> Path | None:
    """The user's folder that the command needs: the one looked into now, or else the one that the cell was planned
    with. None where our YAML has every choice, and where no folder has those that ours lacks.
    """
    names = {part: getattr(cell, part).name for part in conf_files.GROUPS}
    with conf_files.looking_into(None):
        lacking = [part for part in names if _named(part, names[part]) is None]
        needed = [part for part in lacking if _option(part, names[part]) is None]
    for place in filter(None, (conf_files.added(), Path(cell.config_dir) if cell.config_dir else None)):
        with suppress(UsageError), conf_files.looking_into(place):  # a folder that is gone, or that names code
            held = [part for part in lacking if _named(part, names[part]) is not None]
            if held and set(needed) <= set(held):
                return place
    return None


def _words(cell: Cell) -> list[str]:
    """Each word but the program and the verb, as the options that are looked into have them."""
    names = {part: getattr(cell, part).name for part in conf_files.GROUPS}
    chosen = {part: _option(part, name) or name for part, name in names.items()}
    known = {part: option for part, option in chosen.items() if option in options.names(part)}
    composed = compose.load(known.items())
    values = {part: composed.get((part, option), {"name": option}) for part, option in chosen.items()}
    said: dict[str, Any] = {
        part: option for part, option in chosen.items() if part != "recipe" or option != values["model"].get("recipe")
    }
    said |= _method(cell, values["method"])
    for part, kind in (("model", ModelConfig), ("task", TaskConfig), ("recipe", RecipeConfig)):
        said |= _part(part, kind, getattr(cell, part), values[part], lost=not cell.model.location)
    said |= _place(cell.model, values["model"])
    rate = grid.learning_rate(values["recipe"].get("learning_rate"), cell.method.name, None)
    if rate != cell.recipe.learning_rate:
        said["recipe.learning_rate"] = cell.recipe.learning_rate
    if cell.objective != (compose.defaults().get("objective") or cell.model.objective):
        said["objective"] = cell.objective
    said |= {f"parents.{role}": key for role, key in cell.parents}
    return [*(f"{key}={declared_types.said(key, value)}" for key, value in said.items()), f"seed={cell.seed}"]


def _option(part: str, name: str) -> str | None:
    """The option that can be named for a choice; None where there is none.

    The YAML that stands for any model takes its name from the place. Every field of a recipe can be said, so that any
    recipe serves.
    """
    found = _named(part, name)
    if found is None and part == "model":
        return next((one for one, said in _contents(part).items() if said.get("family") == weight_files.AUTO), None)
    return next(iter(options.names(part)), None) if found is None and part == "recipe" else found


def _named(part: str, name: str) -> str | None:
    """The option whose YAML calls itself `name`; in a user's folder its file may be called otherwise."""
    if name in options.names(part):
        return name
    return next((option for option, said in _contents(part).items() if said.get("name") == name), None)


def _contents(part: str) -> dict[str, dict[str, Any]]:
    return {option: _said(path) for option, path in conf_files.files(part).items()}


def _said(path: Path) -> dict[str, Any]:
    """What a YAML says, as texts; a broken one is named when it is used."""
    try:
        content = yaml_values.load(atomic_files.read_text(path))
    except (OSError, ValueError):
        content = None
    return {name: yaml_values.text(one) for name, one in content.items()} if isinstance(content, dict) else {}


def _method(cell: Cell, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given = {name: value for name, value in values.items() if name != "name"}
    usual = methods.resolve(cell.method.name, given) if cell.method.name in methods.catalogue() else {}
    for name, value in cell.method.fields.items():
        if name not in usual or usual[name] != value:
            yield f"method.{name}", value


def _part(part: str, kind: type[Any], config: Any, values: Mapping[str, Any], lost: bool) -> Iterator[tuple[str, Any]]:
    """lost: the record came from elsewhere, without the fields of its machine."""
    given = {name: value for name, value in values.items() if value is not None and name not in SETTLED[part]}
    usual = parse_fields(kind, given, part)
    for field in fields(kind):
        value, known = getattr(config, field.name), usual.get(field.name, field.default)
        unsaid = lost and field.metadata["kind"] == "runtime" and value == field.default
        if field.name not in (*SETTLED[part], "name") and value != known and known != weight_files.AUTO and not unsaid:
            yield f"{part}.{field.name}", value


def _place(model: ModelConfig, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Where the model is, if that is not where its YAML says. `model.path` wins over everything."""
    if model.path or not model.location or "family" not in values:
        return
    usual = build(ModelConfig, {name: value for name, value in values.items() if value is not None}, "model")
    if usual.source == "package" and model.source == "hub":  # the package is not installed here
        return
    if model.source != usual.source:
        yield "model.source", model.source
    if model.location != (usual.location or usual.name):
        yield "model.location", model.location
    if model.source == "hub" and model.revision != usual.revision and not weight_files.bare(model):
        yield "model.revision", model.revision
