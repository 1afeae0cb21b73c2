"""All delta-tuning methods by name, each in a file of its name; `base.py` is the contract.

This module is torch-free: it reads the methods' dataclasses from their source, so that a plan, a key or a listing never
imports torch. `make` is the one function that does.
"""

import ast
import importlib.util
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.config.schema import MethodConfig
from harness.config.values import PARSERS, derive, is_text, is_word, names, parse
from harness.config.yaml_values import flow, load, quoted, split, text
from harness.errors import UsageError, near
from harness.former_modules import import_plugin

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Method

ENTRY_POINTS = "deltabench.methods"
BUDGET = "budget"
SIZELESS = " It has no size to choose: what it trains is fixed, or follows from its other fields."
SIZES = ("bottleneck", "rank", "dimension", "length", "layers", "fraction")
"""Fields that say how large a delta is: the first that a method has is what `method.budget` solves for."""

ELSEWHERE: Mapping[str, str] = {
    **{
        start: f"it is a start of LoRA. Take method=lora method.init={start}"
        for start in ("pissa", "milora", "olora", "eva", "corda", "lora_ga")
    },
    "rslora": "it is a scale of LoRA. Take method=lora method.rslora=true",
    "loraplus": "it is a learning rate of LoRA's B. Take method=lora method.rate_ratio=16",
    "lisa": "it is a recipe. Take method=full recipe.awake_layers=1",
    "galore": "it is an optimiser. Take method=full recipe.optimizer=galore",
    "lomo": "it is an optimiser. Take method=full recipe.optimizer=lomo",
    "hint": "its hypernetwork (Ivison et al. 2022) learns from the instructions of many tasks to write the adapters of "
    "a new one, and a cell has one task, whose rows hold no instruction apart from their text. Take adapter or prefix",
}
"""Names that a person may look for -> where it is, or why it is not here."""


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True)
class FieldSpec:
    """One flat field of a method: its annotation as written, and its declared default (REQUIRED: none)."""

    type_text: str
    default: Any = REQUIRED


@dataclass(frozen=True)
class MethodEntry:
    """A method as read from its source.

    derived: field -> its value where it is null, as arithmetic over other fields. parents: the method whose finished
    cells it builds on, "" for none, "*" for any; single_parent: on exactly one. evaluation_only: its cells have no
    steps. only_head: nothing of it trains but the head of an objective. values: "module:NAME" of a table assignment ->
    what it does, "" for none.
    """

    name: str
    module: str
    class_name: str
    fields: Mapping[str, FieldSpec]
    doc: str
    derived: Mapping[str, str]
    parents: str = ""
    evaluation_only: bool = False
    only_head: bool = False
    values: str = ""
    single_parent: bool = False


@cache
def catalogue() -> Mapping[str, MethodEntry]:
    """Return every method by name: the files of this package, then installed packages that registered a module."""
    classes: dict[str, tuple[str, ast.ClassDef]] = {}
    for module, path in _sources():
        for node in _qualified(module, ast.parse(path.read_text(encoding="utf-8"))):
            classes[f"{module}.{node.name}"] = (module, node)
    entries = (_entry(module, node, classes) for module, node in classes.values())
    return {entry.name: entry for entry in sorted(filter(None, entries), key=lambda entry: entry.name)}


def resolve(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of method `name`, canonical: given values parsed, defaults filled, nulls derived."""
    entry = find(name)
    given = {field: value for field, value in values.items() if field != "name"}
    for field in given:
        if field not in entry.fields:
            hint = near(field, entry.fields) or " It has no fields."
            hint = SIZELESS if field == BUDGET else hint
            raise UsageError(f"method {name} has no field {field!r}.{hint}")
    resolved, size = {}, size_of(entry)
    multiples = {field: times for field in entry.derived if (times := _times(given.get(field), size)) is not None}
    for field, spec in entry.fields.items():
        if field not in given and spec.default is REQUIRED:
            raise UsageError(f"method {name} needs a value for {field}: set method.{field}=…")
        value = None if field in multiples else given.get(field, spec.default)
        resolved[field] = parse(f"method.{field}", spec.type_text, value)
    if size and resolved["budget"] is not None and resolved[size] != entry.fields[size].default:
        raise UsageError(f"method {name}: give method.budget or method.{size}, not both")
    for field, times in multiples.items():
        if resolved[str(size)] is None or resolved["budget"] is not None:
            raise UsageError(f"method.{field}={given[field]}: a budget chooses the {size}; give a number, or null")
        resolved[field] = parse(f"method.{field}", entry.fields[field].type_text, times * resolved[str(size)])
    for field, formula in entry.derived.items():
        if resolved[field] is None and not (resolved.get("budget") is not None and size and size in formula):
            resolved[field] = parse(f"method.{field}", entry.fields[field].type_text, derive(formula, resolved))
    return resolved


def _times(value: Any, size: str | None) -> float | None:
    """Return the 2 of `2r` or `2 * rank`, the multiple of a method's size; None for another value."""
    if not isinstance(value, str) or size is None:
        return None
    times = re.fullmatch(rf"\s*(?:(\d+\.?\d*|\.\d+)\s*\*?\s*)?(?:{size}|{size[0]})\s*", value)
    return float(times[1] or 1) if times else None


def find(name: str) -> MethodEntry:
    """Return the entry of one method. Raise UsageError, with near names, where there is none."""
    if name not in catalogue():
        raise UsageError(f"there is no method {name!r}{instead(name, catalogue())}")
    return catalogue()[name]


def instead(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that says there is no such method: where it is, or near names."""
    return f": {ELSEWHERE[name]}." if name in ELSEWHERE else f".{near(name, known)}"


def size_of(entry: MethodEntry) -> str | None:
    """Return the field that `method.budget` solves for; None where a method has none."""
    return next((field for field in SIZES if field in entry.fields), None)


def make(config: MethodConfig, outline: "Callable[[], nn.Module] | None" = None) -> "Method":
    """Return the method itself; this imports its module, hence torch. Raise UsageError for a value outside its range.

    outline: returns the backbone on the meta device. A caller gives it to know before `attach` how many tokens a method
    with a budget adds.
    """
    entry = find(config.name)
    cls = getattr(import_plugin(entry.module), entry.class_name)
    fields = resolve(config.name, config.fields)
    budget, size = fields.pop("budget", None), size_of(entry)
    if budget is None or size is None:
        return cls(**fields)
    from methods.attachment.budget import Budgeted

    budgeted = Budgeted(lambda value: cls(**fields | {size: value}), size, budget, size != "fraction")
    if outline is not None:
        budgeted.settle(outline())
    return cast("Method", budgeted)


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield (module, file) of every method, ours first; only the parents of foreign modules are imported."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{__package__}.{path.stem}", path
    for point in entry_points(group=ENTRY_POINTS):
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None:
            raise UsageError(f"the entry point {point.name!r} names module {point.module!r}, which is not installed")
        yield point.module, Path(spec.origin)


def _qualified(module: str, tree: ast.Module) -> list[ast.ClassDef]:
    """Return a module's classes, with the names of their bases as `module.name`: two files may name a class alike."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    package = module.rpartition(".")[0]
    whole: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            whole |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
    whole |= {node.name: f"{module}.{node.name}" for node in classes}
    for node in classes:
        for base in node.bases:
            if isinstance(base, ast.Name):
                base.id = whole.get(base.id, base.id)
    return classes


def _entry(module: str, node: ast.ClassDef, classes: Mapping[str, Any]) -> MethodEntry | None:
    """Return the class as a method; None where it declares no `name` of its own (modules, abstract families)."""
    name = _constants(node).get("name")
    if not isinstance(name, str):
        return None
    doc = (ast.get_docstring(node) or "").split("\n")[0]
    constants = _inherited_constants(node, classes)
    derived, parents = constants.get("derived", {}), constants.get("parents", "")
    evaluation_only, only_head = constants.get("evaluation_only", False), constants.get("only_head", False)
    fields = _fields(node, classes)
    if any(size in fields for size in SIZES):
        fields["budget"] = FieldSpec("Share | None", None)
    values, single_parent = constants.get("values", ""), constants.get("single_parent", False)
    return MethodEntry(
        name, module, node.name, fields, doc, derived, parents, evaluation_only, only_head, values, single_parent
    )


def _fields(node: ast.ClassDef, classes: Mapping[str, Any]) -> dict[str, FieldSpec]:
    """Return the dataclass fields in order, those of base classes in scanned files first."""
    fields: dict[str, FieldSpec] = {}
    for base in _bases(node, classes):
        fields.update(_fields(base, classes))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _is_classvar(item):
            default = REQUIRED if item.value is None else ast.literal_eval(item.value)
            fields[item.target.id] = FieldSpec(ast.unparse(item.annotation), default)
    return fields


def _inherited_constants(node: ast.ClassDef, classes: Mapping[str, Any]) -> dict[str, Any]:
    constants: dict[str, Any] = {}
    for base in _bases(node, classes):
        constants.update(_inherited_constants(base, classes))
    return constants | _constants(node)


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    """Return the class variables with a literal value."""
    constants = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and _is_classvar(item) and item.value:
            try:
                constants[item.target.id] = ast.literal_eval(item.value)
            except ValueError:
                continue
    return constants


def _bases(node: ast.ClassDef, classes: Mapping[str, Any]) -> list[ast.ClassDef]:
    """Return the base classes in scanned files, the last first.

    So dataclasses order fields, and the first base's constants win.
    """
    return [classes[base.id][1] for base in reversed(node.bases) if isinstance(base, ast.Name) and base.id in classes]


def _is_classvar(item: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(item.annotation)


def read_part(part: str) -> tuple[str, dict[str, Any]]:
    """Return (method, fields) of one part: `lora rank=4 targets=q+v`, `prompt text="good or bad"`."""
    name, *words = filter(None, split(" ".join(part.split()) if '"' not in part else part.strip(), " "))
    pairs = [word.partition("=") for word in words]
    if any(not (key and equals and value) for key, equals, value in pairs):
        raise UsageError(f"method.parts: {part!r} must be a method and field=value words, such as lora rank=4")
    if len({key for key, _, _ in pairs}) < len(pairs):
        raise UsageError(f"method.parts: {part!r} gives a field twice")
    return name, {key: _part_value(name, key, value) for key, _, value in pairs}


def _part_value(name: str, key: str, word: str) -> Any:
    """Return the value of a field of a part.

    In quotes or brackets it is as in YAML; else `+` stands between the names of a list.
    """
    if word[0] in '"[{':
        try:
            return load(word, anchors=False)
        except ValueError as error:
            raise UsageError(f"method.parts: {name} {key}={word}: not a value ({error})") from error
    if word == "null":
        return None
    spec = find(name).fields.get(key)
    joined = spec is not None and not is_text(spec.type_text) and not _is_number(word)
    return word.replace("+", ",") if joined else word


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _parts(field: str, value: Any) -> tuple[str, ...]:
    parts = []
    for name, fields in map(read_part, names(field, value)):
        resolved = resolve(name, fields)
        if "parts" in resolved:
            raise UsageError(f"{field}: {name} has parts of its own, so it cannot be a part")
        words = (f"{key}={_word(item)}" for key, item in resolved.items())
        parts.append(" ".join((name, *words)))
    return tuple(parts)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value) if all(map(is_word, value)) else flow(value)
    if isinstance(value, Mapping):
        return flow(value)
    return text(value) if not isinstance(value, str) or is_word(value, "+") else quoted(value)


# The parts of a combination are methods themselves, so only this module can read them.
PARSERS["Parts"] = _parts
