"""The options that an exhibit sets for a claim, checked before anything is trained. Torch-free."""

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.errors import UsageError, near
from harness.experiments.claim_rows.claim import Claim
from methods import registry

SIDES = ("left", "right", "reference")
"""Options that name methods, or variants of them by their fields."""
METHODS = ("method", "methods", "to")
"""Options that name methods alone."""
WITHIN_ONE = ("share", "low", "high", "target", "near", "factor", "epsilon", "most_trained")
"""Options that are shares, from 0 to 1."""
ABOVE_ZERO = ("ratio", "times")
WHOLE = ("batch", "from_batch", "steps")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "sign": ("positive", "negative"),
    "over": ("layers and steps", "layers within a step"),
    "against": ("mean", "best"),
    "state": ("merged", "unmerged"),
    "relation": ("above", "at least", "at most", "similar"),
}
TO_ONE = ("score", "share", "PSCP", "correlation", "squared score")
"""How the scale of a claim begins where no difference is larger than 1."""


def check(claim: Claim, given: Mapping[str, Any], methods: Sequence[str], tasks: Sequence[str]) -> None:
    """Raise UsageError with the option, its value and the rule.

    given: the options that the exhibit sets. methods, tasks: the names and patterns of its grids; none where it has
    no grid, and then any method will do.
    """
    for name, usual in claim.options.items():
        if usual is None and name not in given and (name in SIDES or f"{{{name}}}" in claim.sentence):
            raise UsageError(f"it needs the option '{name}', which '{claim.sentence}' has a place for.")
    for name, value in given.items():
        _check_kind(name, value, claim.options[name])
        if name == "margin":
            _check_margin(value, claim.scale)
        elif name in SIDES:
            _check_side(name, value, methods)
        elif name in METHODS and value is not None:
            _check_methods(name, value, methods)
        elif name == "tasks" and value is not None and tasks:
            _check_names(name, value, tasks, "task of the exhibit")
    chosen = {**claim.options, **given}
    if {"low", "high"} <= chosen.keys() and chosen["low"] > chosen["high"]:
        raise UsageError(f"low={chosen['low']} is above high={chosen['high']}. Swap them.")


def _check_kind(name: str, value: Any, usual: Any) -> None:
    """Raise UsageError where a value is not of the kind of the usual one, or outside the values that it may have."""
    if isinstance(usual, bool):
        if not isinstance(value, bool):
            raise UsageError(f"{name}={value}: it is true or false.")
    elif isinstance(usual, int | float) or (name in WHOLE and value is not None):
        _check_number(name, value)
    elif name in CHOICES and value not in CHOICES[name]:
        raise UsageError(f"{name}={value}: it is one of {', '.join(CHOICES[name])}.{near(str(value), CHOICES[name])}")
    elif isinstance(usual, str) and not isinstance(value, str):
        raise UsageError(f"{name}={value}: it is a text such as '{usual}'.")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name}={value}: it is a number.")
    if name in WITHIN_ONE and not 0 <= value <= 1:
        raise UsageError(f"{name}={value}: it is a share from 0 to 1; 0.9 is 90 %.")
    if name in ABOVE_ZERO and not value > 0:
        raise UsageError(f"{name}={value}: it is above 0.")
    if name in WHOLE and (value < 1 or value != int(value)):
        raise UsageError(f"{name}={value}: it is a whole number, 1 or more.")
    if value < 0:
        raise UsageError(f"{name}={value}: it is not below 0.")


def _check_margin(value: float, scale: str) -> None:
    if value >= 1 and scale.startswith(TO_ONE):
        raise UsageError(
            f"margin={value}: its scale is '{scale}', so it is below 1; 0.01 is one point, or one percent."
        )


def _check_side(name: str, value: Any, methods: Sequence[str]) -> None:
    """Raise UsageError for a side without a method of the exhibit, or with a field that none of its methods has."""
    side = value if isinstance(value, Mapping) else {"method": value}
    if "method" not in side:
        raise UsageError(f"{name} has no method. Write {name}: {{method: NAME, …}}.")
    _check_methods(name, side["method"], methods)
    named = side["method"] if isinstance(side["method"], list) else [side["method"]]
    fields = [field for field in side if field != "method"]
    known = {field for method in named if fields for field in registry.find(str(method)).fields}
    _check_names(name, fields, sorted(known), "field of its methods")


def _check_methods(name: str, value: Any, methods: Sequence[str]) -> None:
    _check_names(name, value, methods or tuple(registry.catalogue()), "method of the exhibit")


def _check_names(option: str, value: Any, known: Iterable[str], what: str) -> None:
    """Raise UsageError for the first name that no known name or pattern matches."""
    known = tuple(known)
    for name in value if isinstance(value, list) else [value]:
        if not any(fnmatch.fnmatchcase(str(name), pattern) for pattern in known):
            raise UsageError(f"{option}: '{name}' is no {what}.{near(str(name), known)}")
