"""The rows of `deltabench list fields`: what can be set, its type, its value and what it means. Torch-free.

What a field means is read where it is declared: the list in the docstring of its dataclass, or the sentence of a
method's page that names it, else of the page of a method that it builds on, else the list in `methods/base.py`.
"""

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from harness import formatting
from harness.config import compose, conf_files
from harness.config.building import bounds, type_text
from harness.config.schema import ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError, near
from harness.experiments.grids import options
from harness.experiments.grids.declared_types import DERIVED
from harness.files import plain_files
from methods import registry as methods
from tasks.data import user_task

Row = dict[str, Any]
_SENTENCES = re.compile(r"(?<=\.)(?<!\bal\.)(?<!\be\.g\.)(?<!\bi\.e\.) (?=[A-Za-z`])")
"""Between two sentences. One may begin with the name of a value, such as eva."""
CONTRACT = "methods.base"
"""The module whose docstring explains the fields that many methods share."""
KINDS: Mapping[str, type[Any]] = {
    "recipe": RecipeConfig,
    "model": ModelConfig,
    "task": TaskConfig,
    "settings": Runtime,
}


def rows(what: str | None) -> list[Row]:
    """Return the fields of an option (`lora`, `glue/sst2`, `micro`), of a kind (`recipe`), or whose name has the word.

    Each row has `name`, `type`, `default`, `value` (of the option), `rule` and `about`. A value that a method's table
    explains is a row without a type. None stands for all kinds.
    Raises UsageError where nothing has such a name.
    """
    if what is None or what in ("method", "methods"):
        return [row for kind in KINDS for row in _of_kind(kind)] if what is None else [*_of_all_methods()]
    singular = what if what in KINDS else what.removesuffix("s")
    if singular in KINDS:
        return [*_of_kind(singular)]
    groups = [group for group in conf_files.GROUPS if what in options.names(group)]
    if groups:
        return [row for group in groups for row in _of_option(group, what)]
    every = [row for kind in KINDS for row in _of_kind(kind)] + [*_of_all_methods()]
    if matches := [row for row in every if what.casefold() in row["name"].casefold()]:
        return matches
    known = [name for group in conf_files.GROUPS for name in options.names(group)]
    raise UsageError(f"there are no fields of {what!r}.{near(what, KINDS, [*known, *(row['name'] for row in every)])}")


def _of_kind(kind: str) -> Iterator[Row]:
    """Yield the fields of a recipe, a model, a task or of the settings, with their declared defaults."""
    about = {**_bullets(KINDS[kind].__doc__ or ""), **(_columns(user_task.__doc__ or "") if kind == "task" else {})}
    for field in fields(KINDS[kind]):
        if field.name in DERIVED.get(kind, ()):
            continue
        rule = bounds(field.metadata)
        default = None if field.default is MISSING else field.default
        name = field.name if kind == "settings" else f"{kind}.{field.name}"
        yield _row(name, type_text(field.type), default, about.get(field.name, ""), rule)


def _of_option(group: str, option: str) -> Iterator[Row]:
    """Yield the fields of one option with the values that its YAML gives them."""
    values = compose.load([(group, option)])[group, option]
    if group == "method":
        yield from _of_method(values["name"], {name: value for name, value in values.items() if name != "name"})
        return
    for row in _of_kind(group):
        given = values.get(row["name"].partition(".")[2])
        yield {**row, "value": row["default"] if given is None else given}


def _of_method(name: str, values: Mapping[str, Any]) -> Iterator[Row]:
    entry, usual = methods.find(name), _bullets(_page(CONTRACT))
    for field, spec in entry.fields.items():
        pages = (_naming(field, module) for module in (entry.module, *_bases(entry.module)))
        about = next(filter(None, pages), usual.get(field, ""))
        if field in entry.derived:
            about = f"null: {entry.derived[field]}. {about}".strip()
        if field == "budget":
            about = f"The share of the backbone's parameters that {methods.size_of(entry)} is solved for."
        default = None if spec.default is methods.REQUIRED else spec.default
        rule = "needs a value" if spec.default is methods.REQUIRED else ""
        yield {
            **_row(f"method.{field}", spec.type_text, default, about, rule),
            "value": values.get(field, default),
        }
    if entry.values:
        module, _, table = entry.values.partition(":")
        for assigned, about in getattr(importlib.import_module(module), table).items():
            assignment, _, value = assigned.partition("=")
            yield {**_row(assignment, "", None, about, ""), "value": value}


def _of_all_methods() -> Iterator[Row]:
    """Yield each field of any method once, with the methods that have it."""
    having: dict[str, list[str]] = {}
    for entry in methods.catalogue().values():
        for field in entry.fields:
            having.setdefault(field, []).append(entry.name)
    for field, names in sorted(having.items()):
        types = dict.fromkeys(methods.find(name).fields[field].type_text for name in names)
        yield _row(f"method.{field}", " or ".join(types), None, f"Of {', '.join(names)}.", "")


def _row(name: str, kind: str, default: Any, about: str, rule: str) -> Row:
    return {"name": name, "type": kind, "default": default, "value": default, "rule": rule, "about": about}


def _bullets(docstring: str) -> dict[str, str]:
    """Return name -> text of the lines `- name, other: text` of a docstring."""
    about: dict[str, str] = {}
    for part in re.split(r"\n\s*- ", docstring)[1:]:
        names, _, text = part.partition(":")
        about |= dict.fromkeys(map(str.strip, names.split(",")), " ".join(text.split("\n\n")[0].split()))
    return about


def _columns(docstring: str) -> dict[str, str]:
    """Return name -> text of the lines `name, other   text` of a docstring; a text goes on in the lines below it."""
    about: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*?) {2,}(\S.*(?:\n {8,}.*)*)", docstring, re.MULTILINE):
        about |= dict.fromkeys(map(str.strip, names.split(",")), " ".join(text.split()))
    return about


def _naming(field: str, module: str) -> str:
    """Return the sentences of a module's docstring that name a field."""
    sentences = _SENTENCES.split(" ".join(_page(module).split()))
    return " ".join(text for text in sentences if re.search(rf"`{field}`|\b{field}:", text))


def _page(module: str) -> str:
    """Return a module's docstring."""
    return ast.get_docstring(_tree(module)) or ""


def _bases(module: str) -> list[str]:
    """Return the methods' modules that a method's module imports, and theirs: it may inherit their fields."""
    names = [node.module for node in ast.walk(_tree(module)) if isinstance(node, ast.ImportFrom) and node.module]
    package = CONTRACT.rpartition(".")[0]
    own = [name for name in names if name.rpartition(".")[0] == package and name != CONTRACT]
    return [*own, *(base for name in own for base in _bases(name))]


@cache
def _tree(module: str) -> ast.Module:
    """Return a module's syntax; the module is not imported."""
    spec = importlib.util.find_spec(module)
    return ast.parse(plain_files.read_text(spec.origin) if spec and spec.origin else "")


WORDS = {
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "str": "text",
    "tuple[str, ...]": "names in order",
    "Names": "names",
    "Share": "share, such as 0.5%",
    "Settings": "names with values",
    "Pairs": "names with names",
    "Texts": "texts",
    "Parts": "methods with fields",
}


def lines(matches: list[Row]) -> list[tuple[str, str]]:
    """Return (name=value, type, rule and meaning) for each row."""
    texts = ((_kind(row), f"{row['about'][:1].upper()}{row['about'][1:]}") for row in matches)
    described = (". ".join(filter(None, pair)) if pair[1] else f"{pair[0]}." for pair in texts)
    return [(_assigned(row), text.strip()) for row, text in zip(matches, described, strict=True)]


def _assigned(row: Row) -> str:
    if row["about"].startswith("Of "):  # a field of several methods, each with its default
        return str(row["name"])
    value = row["value"]
    return f"{row['name']}={'null' if value is None else formatting.value(value)}"


def _kind(row: Row) -> str:
    """Return the type in words, with its rule: "whole number, at least 1, or null"."""
    kinds = str(row["type"]).split(" | ")
    named = [WORDS.get(kind, kind.replace("Literal", "one of ").replace("'", "")) for kind in kinds if kind != "None"]
    rule = str(row["rule"])
    texts = [rule] if rule.startswith("one of") else [*named, *([rule] if rule else [])]
    return ", ".join([*texts, *(["or null"] if "None" in kinds else [])])
