"""What type a choice has, by its declaration, and what a value of it means. Torch-free.

One place for the words of a command line, a user's YAML and an exhibit's blocks: a text is the text that was written,
and a number is decimal.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from harness.config.schema import AXES, ModelConfig, RecipeConfig, TaskConfig, type_text
from harness.config.values import is_text, kind_of
from harness.config.yaml_values import flow, load, plain_values, quoted, split, text, unquoted
from harness.errors import UsageError
from methods import registry as methods

GROUPS: Mapping[str, type[Any]] = {"model": ModelConfig, "task": TaskConfig, "recipe": RecipeConfig}
WHOLE = "task.template"
"""A text with commas, brackets and quotes of its own: never a list of choices, and taken as it is."""
PARENT, NUMBERS, TEXT = "parent", ("int", "float", "Share"), "str"


@cache
def kind(key: str) -> str:
    """The type of a choice, as its field declares it; "" for one that no field has."""
    group, _, name = key.partition(".")
    if key in AXES:
        return "int" if key == "seed" else TEXT
    if group == "parents":
        return PARENT
    if group == "method":
        specs = [entry.fields[name] for entry in methods.catalogue().values() if name in entry.fields]
        found = {TEXT if is_text(spec.type_text) else kind_of(spec.type_text) for spec in specs}
        return found.pop() if len(found) == 1 else ""
    declared = {field.name: field for field in fields(GROUPS[group])} if group in GROUPS else {}
    if name not in declared:
        return ""
    found_type = type_text(declared[name].type)
    return TEXT if is_text(found_type) else kind_of(found_type)


def value(key: str, written: str) -> Any:
    """What one value of a command line means. ValueError for what is none.

    A text is taken as it is: 010, yes and 'a #1' are texts. Quotes around all of it hold one that has a comma, a
    bracket or spaces at an end, and null stands for none.
    """
    declared = kind(key)
    if key == WHOLE or (declared == PARENT and not written.startswith("{")):
        return written
    if declared == TEXT:
        inside = unquoted(written)
        return inside if inside is not None else None if written == "null" and key not in AXES else written
    return typed(key, load(written, anchors=False))


def typed(key: str, content: Any) -> Any:
    """A value of a YAML as the declared type wants it, as far as one can tell without its rule."""
    if isinstance(content, Mapping):
        return content
    if isinstance(content, list | tuple):
        return [typed(key, one) for one in content] if kind(key) in (TEXT, *NUMBERS) else content
    if kind(key) == TEXT:
        return content if content is None else text(content)
    number = plain_values(content) if kind(key) in NUMBERS else content
    return content if key == "seed" and isinstance(number, float) else number  # 1e1 is none, and is named as it is said


def said(key: str, content: Any) -> str:
    """A value as a command line says it: what `value` reads back as the same."""
    if content is None or key == WHOLE:
        return text(content)
    if kind(key) != TEXT:
        return str(content) if kind(key) == PARENT else flow(content)
    written = text(content)
    alone = split(written, ",") == [written.strip()] and written != "null" and written.isprintable()
    return written if alone and value(key, written) == written else quoted(written)


def seed(value: Any, said: str | None = None) -> int:
    """A seed as a whole number. UsageError for anything else; said: the words that it was given by."""
    written = text(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,12}", written) or int(written) >= 2**31:
        raise UsageError(
            f"seed={(said or written)[:40]}: a seed is a whole number from 0 to 2147483647, written in digits; several "
            "are written with commas, as in seed=0,1,2."
        )
    return int(written)
