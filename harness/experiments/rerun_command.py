"""The command that runs a cell again, as short as the YAML files allow. Torch-free."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.config import compose, conf_files, yaml_values
from harness.config.building import build, parse_fields
from harness.config.schema import Cell, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.experiments import overrides
from harness.experiments.grids import declared_types, options, recipe_choices
from harness.files import plain_files
from harness.models import weight_files
from methods import registry as methods
from tasks import prompts

SETTLED = {
    "model": ("location", "revision", "source", "hub"),
    "task": ("digest",),
    "recipe": ("learning_rate", "rate_search"),
}
"""Fields that follow from others, or that are handled separately."""


def command(cell: Cell, store: str | None = None) -> str:
    """Return `deltabench run …` with the choices and the fields that differ from their YAML. It plans the same key.

    The command names the user's folder of YAML (`--config-dir`) where ours lack a choice of the cell. store: the store
    to run in, which has the cell's parents; None for the default one.
    """
    folder = _folder(cell)
    with conf_files.looking_into(folder):
        words = _words(cell)
    place = [] if folder is None else ["--config-dir", str(folder)]
    return shlex.join(["deltabench", "run", *place, *words, *([] if store is None else [f"store={store}"])])


def exhibit_words(chosen: Mapping[str, list[Any]], added: Mapping[str, list[Any]]) -> str:
    """Return what follows `deltabench reproduce EXHIBIT scale=SCALE` for this selection, so that the same cells result.

    It names the user's folder of YAML that is read now, since the exhibit or a choice may come from there.
    """
    folder = conf_files.added()
    place = [] if folder is None else ["--config-dir", str(folder)]
    return shlex.join([*overrides.words(chosen), *overrides.words(added, "+"), *place])


def missing(cell: Cell) -> str | None:
    """Return why no command can name the cell: a choice that no YAML and no package here has. None where all exist."""
    with conf_files.looking_into(_folder(cell)):
        lost = next((part for part in conf_files.GROUPS if _option(part, getattr(cell, part).name) is None), None)
    if lost is None:
        return None
    name = getattr(cell, lost).name
    where = f" It was planned with --config-dir {cell.config_dir}, which no longer has it." if cell.config_dir else ""
    return (
        f"no YAML and no package here has the {lost} {name!r}.{where} Name the folder that holds {lost}/{name}.yaml "
        "with --config-dir, or install its package; then this page shows the command."
    )


def _folder(cell: Cell) -> Path | None:
    """Return the user's folder that the command needs: the current one, or the one that the cell was planned with.

    None where our YAML has every choice, and where no folder has the choices that ours lacks.
    """
    names = {part: getattr(cell, part).name for part in conf_files.GROUPS}
    with conf_files.looking_into(None):
        lacking = [part for part in names if _named(part, names[part]) is None]
        needed = [part for part in lacking if _option(part, names[part]) is None]
    for place in filter(None, (conf_files.added(), Path(cell.config_dir) if cell.config_dir else None)):
        with suppress(UsageError), conf_files.looking_into(place):  # a folder that is missing, or that names code
            present = [part for part in lacking if _named(part, names[part]) is not None]
            if present and set(needed) <= set(present):
                return place
    return None


def _words(cell: Cell) -> list[str]:
    """Return each word after the program and the verb."""
    names = {part: getattr(cell, part).name for part in conf_files.GROUPS}
    chosen = {part: _option(part, name) or name for part, name in names.items()}
    known = {part: option for part, option in chosen.items() if option in options.names(part)}
    composed = compose.load(known.items())
    values = {part: composed.get((part, option), {"name": option}) for part, option in chosen.items()}
    words: dict[str, Any] = {
        part: option for part, option in chosen.items() if part != "recipe" or option != values["model"].get("recipe")
    }
    words |= _method(cell, values["method"])
    for part, kind in (("model", ModelConfig), ("task", TaskConfig), ("recipe", RecipeConfig)):
        words |= _part(part, kind, getattr(cell, part), values[part], lost=not cell.model.location)
    words |= _place(cell.model, values["model"])
    words.pop("task.prompt", None)
    usual = prompts.usual(cell.task.name, cell.objective) if cell.task.template is None else prompts.TEXT
    words |= {"task.prompt": cell.task.prompt} if cell.task.prompt != usual else {}
    rate = recipe_choices.learning_rate(values["recipe"].get("learning_rate"), cell.method.name, None)
    if rate != cell.recipe.learning_rate:
        words["recipe.learning_rate"] = cell.recipe.learning_rate
    if cell.objective != (compose.defaults().get("objective") or cell.model.objective):
        words["objective"] = cell.objective
    words |= {f"parents.{role}": key for role, key in cell.parents}
    return [*(f"{key}={declared_types.written(key, value)}" for key, value in words.items()), f"seed={cell.seed}"]


def _option(part: str, name: str) -> str | None:
    """Return the option that names a choice; None where there is none.

    The YAML for any model takes its name from the model's place. Every field of a recipe can be set, so any recipe
    serves.
    """
    option = _named(part, name)
    if option is None and part == "model":
        return next(
            (other for other, texts in _contents(part).items() if texts.get("family") == weight_files.AUTO), None
        )
    return next(iter(options.names(part)), None) if option is None and part == "recipe" else option


def _named(part: str, name: str) -> str | None:
    """Return the option whose YAML has this `name`; the file of a user may be called otherwise."""
    if name in options.names(part):
        return name
    return next((option for option, texts in _contents(part).items() if texts.get("name") == name), None)


def _contents(part: str) -> dict[str, dict[str, Any]]:
    return {option: _yaml_texts(path) for option, path in conf_files.files(part).items()}


def _yaml_texts(path: Path) -> dict[str, Any]:
    """Return the fields of a YAML as texts; none of a broken YAML, which is reported when it is used."""
    try:
        content = yaml_values.load(plain_files.read_text(path))
    except (OSError, ValueError):
        content = None
    return {name: yaml_values.text(value) for name, value in content.items()} if isinstance(content, dict) else {}


def _method(cell: Cell, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given = {name: value for name, value in values.items() if name != "name"}
    defaults = methods.resolve(cell.method.name, given) if cell.method.name in methods.catalogue() else {}
    for name, value in cell.method.fields.items():
        if name not in defaults or defaults[name] != value:
            yield f"method.{name}", value


def _part(part: str, kind: type[Any], config: Any, values: Mapping[str, Any], lost: bool) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a part that differ from its YAML.

    lost: the record comes from another machine, without the fields of that machine.
    """
    given = {name: value for name, value in values.items() if value is not None and name not in SETTLED[part]}
    defaults = parse_fields(kind, given, part)
    for field in fields(kind):
        value, known = getattr(config, field.name), defaults.get(field.name, field.default)
        omitted = lost and field.metadata["kind"] == "runtime" and value == field.default
        if field.name not in (*SETTLED[part], "name") and value != known and known != weight_files.AUTO and not omitted:
            yield f"{part}.{field.name}", value


def _place(model: ModelConfig, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield where the model is, if its YAML names another place. `model.path` wins over everything."""
    if model.path or not model.location or "family" not in values:
        return
    defaults = build(ModelConfig, {name: value for name, value in values.items() if value is not None}, "model")
    if defaults.source == "package" and model.source == "hub":  # the package is not installed here
        return
    if model.source != defaults.source:
        yield "model.source", model.source
    if model.location != (defaults.location or defaults.name):
        yield "model.location", model.location
    if model.source == "hub" and model.revision != defaults.revision and not weight_files.bare(model):
        yield "model.revision", model.revision
