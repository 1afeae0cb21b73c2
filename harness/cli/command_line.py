"""Parse the words of a command line, `key=value`, into one block of choices and settings, without Hydra."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from harness.config import yaml_values
from harness.config.building import build
from harness.config.schema import AXES, DOTTED, Runtime
from harness.errors import UsageError, cut, near
from harness.experiments.grids import declared_types
from harness.experiments.grids.blocks import SEARCH, TUNING_SEED
from harness.experiments.grids.declared_types import seed
from harness.paths import located

SETTINGS = ("launcher", "jobs", "rerun")
_WORD = re.compile(r"(\+?)([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
_LIMIT = 10_000
UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""Seconds of a unit of time."""


@dataclass(frozen=True)
class CommandLine:
    """The words of a command line by kind.

    block: choices for the grid, each a list. added: choices written `+key=value`. runtime, settings: the other words.
    """

    block: Mapping[str, list[Any]]
    added: Mapping[str, list[Any]]
    runtime: Mapping[str, Any]
    settings: Mapping[str, str]

    def configure(self, defaults: Mapping[str, Any]) -> Runtime:
        """Return the runtime values of conf/run.yaml, replaced by those of the command line."""
        built = build(Runtime, {**defaults, **self.runtime}, "runtime")
        return replace(built, store=str(located(built.store)))


def parse(words: Sequence[str], settings: Sequence[str] = SETTINGS) -> CommandLine:
    """Return the words as choices and settings.

    Raise UsageError for a word that is not `key=value`, for an unknown key and for a key that is given twice.
    """
    runtime_names = [field.name for field in fields(Runtime)]
    block: dict[str, list[Any]] = {}
    added: dict[str, list[Any]] = {}
    runtime: dict[str, Any] = {}
    chosen: dict[str, str] = {}
    known = [*AXES, TUNING_SEED, *runtime_names, *settings]
    for word in words:
        matched = _WORD.fullmatch(word)
        if matched is None:
            named = f" Give it a value, as in {word}=VALUE." if word in known else _meant(word, known)
            raise UsageError(f"{word!r} is not key=value.{named}")
        plus, key, text = matched.groups()
        if key in (added if plus else {**block, **runtime, **chosen}):
            several = f", with commas between choices: {plus}{key}=A,B" if key in (*block, *added) else ""
            raise UsageError(f"{plus}{key} is given twice; give it once{several}.")
        if not text.strip():
            raise UsageError(f"{key}={text}: a value is missing.")
        if key in (*AXES, TUNING_SEED) or ("." in key and key.partition(".")[0] in (*DOTTED, SEARCH)):
            (added if plus else block)[key] = choices(key, text)
        elif key in runtime_names and not plus:
            runtime[key] = text
        elif (key in settings or ("launcher" in settings and key.startswith("launcher."))) and not plus:
            chosen[key] = text
        else:
            raise UsageError(f"there is no setting {plus + key!r}.{_meant(f'{key}=', known)}")
    return CommandLine(block, added, runtime, chosen)


def _meant(word: str, known: Sequence[str]) -> str:
    """Return a suggestion for the key of a word `key=…`, or for a bare value: `LoRA` may mean `method=lora`."""
    from harness.experiments.grids import options  # here, because only an error needs the lists

    key, equals, _ = word.partition("=")
    axes = () if equals else ("method", "model", "task", "recipe")
    choices = [f"{axis}={name}" for axis in axes for name in options.names(axis)]
    return near(key, known, [*declared_types.settable(), *choices], declared_types.synonyms())


def flag(name: str, value: str | None) -> list[str]:
    """Return the option `--name value` as the word `name=value`, or no word where the option is absent."""
    return [] if value is None else [f"{name}={value}"]


def refuse_added(given: CommandLine) -> None:
    """Raise UsageError for a word `+key=value`, which only `deltabench reproduce` takes."""
    if given.added:
        key, values = next(iter(given.added.items()))
        both = ",".join(map(yaml_values.text, [*given.block.get(key, []), *values]))
        raise UsageError(f"+{key}: only `deltabench reproduce` has choices to add to; write {key}={both} here.")


def count(name: str, text: str | None) -> int | None:
    """Return a whole number from 1 to 10000, or None where no text is given. Raise UsageError for another text."""
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= 10_000:
        raise UsageError(f"{name}={cut(text, 40)}: it must be a whole number from 1 to 10000.")
    return int(text)


def seconds(text: str) -> float:
    """Return the seconds of a duration: "1h30m" -> 5400.0. The units are d, h, m and s, the largest first; a bare
    number is seconds.
    """
    number = r"(\d+(?:\.\d+)?)"
    matched = re.fullmatch("".join(f"(?:{number}{unit})?" for unit in UNITS), text.strip()) if text.strip() else None
    bare = re.fullmatch(number, text.strip())
    counts = zip(UNITS.values(), matched.groups(), strict=True) if matched else [(1, bare[1])] if bare else []
    total = sum(size * float(count) for size, count in counts if count) if len(text) <= 24 else 0.0
    if not total:
        raise UsageError(f"--for {text}: give a duration above 0 such as 90s, 30m, 1h30m or 1d.")
    return total


def choices(key: str, text: str) -> list[Any]:
    """Return the choices of a text, typed as their field declares: "1,2" -> [1, 2]; "[q,v]" -> [["q", "v"]]."""
    if len(text) > _LIMIT:
        raise UsageError(f"{key}={text[:20]}…: longer than {_LIMIT} characters.")
    parts = [text] if key == declared_types.WHOLE else [part.strip() for part in yaml_values.split(text, ",")]
    if not all(parts):
        raise UsageError(f"{key}={text}: a value is missing.")
    return [seed(part, text, key) if key in ("seed", TUNING_SEED) else _value(key, part) for part in parts]


def _value(key: str, text: str) -> Any:
    try:
        return declared_types.value(key.removeprefix(f"{SEARCH}."), text)
    except ValueError as error:
        raise UsageError(f"{key}={text}: not a value ({str(error)[:120]}).") from error
