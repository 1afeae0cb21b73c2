"""The choices of one axis of a block: their names, and a model, a task or a method with all its fields. Torch-free."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

from harness.config import compose
from harness.config.building import build
from harness.config.schema import MethodConfig, ModelConfig, TaskConfig
from harness.config.yaml_values import text
from harness.errors import UsageError
from harness.experiments.grids.blocks import Block
from harness.experiments.grids.options import match
from harness.models import weight_files
from harness.paths import located
from methods import registry as methods
from tasks import registry as tasks

OVERRULED = ("source", "location", "hub", "revision")
"""The fields of a model that `model.path` overrules."""
Placed = TypeVar("Placed", ModelConfig, TaskConfig)


def listed(value: Any) -> list[Any]:
    """Return a choice, or a list of choices, as a list. A list of lists is a choice of lists."""
    if isinstance(value, list | tuple):
        if not value:
            raise UsageError("a choice in a grid is an empty list.")
        return list(value)
    return [value]


def names(axis: str, value: Any) -> list[str]:
    """Return the options that the names and patterns of an axis stand for."""
    if value is None:
        raise UsageError(f"a grid needs a {axis}: add {axis}=NAME.")
    options = [name for item in listed(value) for name in match(axis, text(item))]
    return list(dict.fromkeys(options))


def dotted(group: str, block: Block) -> dict[str, list[Any]]:
    """Return field -> its values, of the fields that a block sets in one group, as in method.rank."""
    start = f"{group}."
    return {str(key)[len(start) :]: listed(value) for key, value in block.items() if str(key).startswith(start)}


def products(choices: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield one value for each name, for every combination of the values."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


@dataclass(frozen=True)
class Choice:
    """One choice of an axis. option: its YAML. value: it, resolved; None where `error` says why it cannot be."""

    option: str
    name: str
    value: Any = None
    error: UsageError | None = None


def resolved(axis: str, option: str, fields: Mapping[str, list[Any]]) -> Iterator[Choice]:
    """Yield the resolved choices of one option of an axis, and why others cannot be resolved.

    fields: field -> the values that the block gives it. A method takes those that it has.
    """
    make: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] = {
        "model": _model, "task": _task, "method": _method,
    }[axis]  # fmt: skip
    values = compose.load(())[axis, option]
    name, own = text(values["name"]), fields
    if axis == "method":
        known = methods.find(name).fields
        own = {field: choices for field, choices in own.items() if field in known}
    for change in products(own):
        try:
            yield Choice(option, name, make(values, change))
        except UsageError as error:
            yield Choice(option, name, error=error)


def check_one_name_each(named: Mapping[str, str]) -> None:
    """Raise UsageError where two YAML files of a user give their tasks the same name. named: YAML -> name.

    Their records could not be told apart. Several files may set fields of one registered task.
    """
    first: dict[str, str] = {}
    for option, name in named.items():
        if first.setdefault(name, option) != option and name not in tasks.catalogue():
            raise UsageError(f"two YAML files claim the task {name!r}: {first[name]} and {option}. Rename one of them.")


def _model(values: Mapping[str, Any], change: Mapping[str, Any]) -> ModelConfig:
    _check_place(change)
    made = weight_files.resolve(build(ModelConfig, {**values, **change}, "model"))
    return _placed(made, "tokenizer", "path", *(["location"] if made.source == "folder" else []))


def _check_place(change: Mapping[str, Any]) -> None:
    """Raise UsageError where a second field says where the model's files are: `model.path` wins over each of them."""
    given = {name: text(change[name]) for name in OVERRULED if change.get(name)}
    for name, value in given.items() if change.get("path") else ():
        if (name, value) != ("source", "folder"):
            raise UsageError(
                f"model.{name}={value}: the files are those of model.path={text(change['path'])}, whatever "
                f"model.{name} says. Leave one of the two out."
            )


def _task(values: Mapping[str, Any], change: Mapping[str, Any]) -> TaskConfig:
    return _placed(tasks.resolve(build(TaskConfig, {"prompt": "auto", **values, **change}, "task")), "data_dir")


def _method(values: Mapping[str, Any], change: Mapping[str, Any]) -> MethodConfig:
    own = {name: value for name, value in values.items() if name != "name"}
    return MethodConfig(values["name"], methods.resolve(values["name"], {**own, **change}))


def _placed(config: Placed, *names: str) -> Placed:
    """Return the configuration with absolute paths in these fields: its command then works in any folder."""
    given = {name: getattr(config, name) for name in names}
    wanted = {name: located(text).absolute() for name, text in given.items() if text and text != weight_files.BYTES}
    changed: dict[str, Any] = {name: str(path) for name, path in wanted.items()}
    return replace(config, **changed)
