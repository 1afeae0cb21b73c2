"""The declared type of each choice, and the meaning of its values. Torch-free.

The same rules hold for the words of a command line, a user's YAML and an exhibit's blocks: a text is taken as it is
written, and a number is decimal.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from harness.config import building
from harness.config.building import type_text
from harness.config.schema import AXES, Cell, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.config.values import is_text, kind_of
from harness.config.yaml_values import check_colons, flow, load, plain_values, quoted, split, text, unquoted
from harness.errors import UsageError, cut
from methods import registry as methods

GROUPS: Mapping[str, type[Any]] = {"model": ModelConfig, "task": TaskConfig, "recipe": RecipeConfig}
WHOLE = "task.template"
"""A text with commas, brackets and quotes of its own: never a list of choices, and taken as it is."""
PARENT, NUMBERS, TEXT = "parent", ("int", "float", "Share"), "str"


DERIVED = {"task": ("name", "digest"), "model": ("name",), "recipe": ("name", "rate_search"), "method": ("name",)}
"""Fields that are computed, or chosen by the name of the group itself."""


@cache
def settable() -> tuple[str, ...]:
    """Return every field of a method, model, task or recipe that a grid may set, such as `recipe.steps`."""
    named = {group: [field.name for field in fields(kind)] for group, kind in GROUPS.items()}
    named["method"] = [name for entry in methods.catalogue().values() for name in entry.fields]
    dotted = (f"{group}.{name}" for group, names in named.items() for name in names if name not in DERIVED[group])
    return tuple(dict.fromkeys(dotted))


def synonyms() -> dict[str, str]:
    """Return other words for axes, settings and fields: "epochs" -> "recipe.steps"."""
    plain = building.synonyms(Cell) | building.synonyms(Runtime)
    own = (building.synonyms(kind).items() for kind in GROUPS.values())
    dotted = {word: f"{group}.{name}" for group, words in zip(GROUPS, own, strict=True) for word, name in words}
    return plain | dotted


@cache
def kind(key: str) -> str:
    """Return the type of a choice as its field declares it; "" for a choice that no field has."""
    group, _, name = key.partition(".")
    if key in AXES:
        return "int" if key == "seed" else TEXT
    if group == "parents":
        return PARENT
    if group == "method":
        specs = [entry.fields[name] for entry in methods.catalogue().values() if name in entry.fields]
        types = {TEXT if is_text(spec.type_text) else kind_of(spec.type_text) for spec in specs}
        return types.pop() if len(types) == 1 else ""
    declared = {field.name: field for field in fields(GROUPS[group])} if group in GROUPS else {}
    if name not in declared:
        return ""
    declared_type = type_text(declared[name].type)
    return TEXT if is_text(declared_type) else kind_of(declared_type)


def value(key: str, written: str) -> Any:
    """Return the value of one text of a command line. Raise ValueError for a text that is no value.

    A field that declares a text takes it unchanged: 010, yes and 'a #1' are texts. Quotes around the whole text protect
    a comma, a bracket or spaces at an end. null stands for no value.
    """
    declared = kind(key)
    if key == WHOLE or (declared == PARENT and not written.startswith("{")):
        return written
    if declared == TEXT:
        inside = unquoted(written)
        return inside if inside is not None else None if written == "null" and key not in AXES else written
    content = load(written, anchors=False)
    check_colons(content)
    return typed(key, content)


def typed(key: str, content: Any) -> Any:
    """Return a value of a YAML as the declared type, as far as the type can be known without the field's rule."""
    if isinstance(content, Mapping):
        return content
    if isinstance(content, list | tuple):
        return [typed(key, item) for item in content] if kind(key) in (TEXT, *NUMBERS) else content
    if kind(key) == TEXT:
        return content if content is None else text(content)
    if kind(key) not in NUMBERS:
        return content
    number = plain_values(content)
    # An error quotes these as they are written: 1e1, which is no seed, and 1e400 and 1e-400, which no float holds.
    odd = isinstance(number, float) and (key == "seed" or not math.isfinite(number) or number == 0)
    return content if odd else number


def written(key: str, content: Any) -> str:
    """Return a value as a command line writes it, so that `value` reads the same value back."""
    if content is None or key == WHOLE:
        return text(content)
    if kind(key) != TEXT:
        return str(content) if kind(key) == PARENT else flow(content)
    plain = text(content)
    alone = split(plain, ",") == [plain.strip()] and plain != "null" and plain.isprintable()
    return plain if alone and value(key, plain) == plain else quoted(plain)


def seed(value: Any, words: str | None = None, axis: str = "seed") -> int:
    """Return a seed as a whole number. Raise UsageError for anything else, which quotes `words` of that `axis`."""
    written = text(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,12}", written) or int(written) >= 2**31:
        raise UsageError(
            f"{axis}={cut(words or written, 40)}: a seed is a whole number from 0 to 2147483647, written in digits; "
            "several are written with commas, as in seed=0,1,2."
        )
    return int(written)
