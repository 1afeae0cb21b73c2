"""The recipe of a cell: its learning rate as one number, and the fields that cannot stand together. Torch-free."""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from harness.config import compose
from harness.config.building import build
from harness.config.schema import ModelConfig, RecipeConfig
from harness.errors import UsageError
from harness.experiments.grids.blocks import TUNED
from harness.experiments.grids.options import match
from harness.nearest import closest
from methods import registry as methods

_FACTOR = re.compile(r"x.*")


def name_of(model: Mapping[str, Any]) -> str:
    """Return the recipe that the YAML of a model names."""
    name = model.get("recipe")
    if not name:
        raise UsageError(f"model {model['name']} names no recipe: add recipe=NAME.")
    return match("recipe", str(name))[0]


def resolved(values: Mapping[str, Any], change: Mapping[str, Any], method: str) -> RecipeConfig:
    """Return the recipe of one choice of its fields.

    A null in the YAML leaves a field at its default. A null on the command line must be a value of the field.
    """
    base = learning_rate(values.get("learning_rate"), method, None)
    defaults = {name: value for name, value in values.items() if value is not None}
    rate = learning_rate(change.get("learning_rate"), method, base)
    own = {**defaults, **change, "learning_rate": rate}
    if rate is None:
        del own["learning_rate"]
    return build(RecipeConfig, own, "recipe")


def learning_rate(value: Any, method: str, base: float | None) -> float | None:
    """Return a learning rate as one number with 4 significant digits.

    The value is a number, a map by method name, or `x0.3` for 0.3 times the recipe's own rate.
    """
    if isinstance(value, Mapping):
        value = _of_method(value, method)
    if value is None:
        return base
    if value == TUNED:
        raise UsageError(
            f"recipe.learning_rate={TUNED} is a search with several cells, for all methods of a grid alike; "
            "`deltabench sweep` and `deltabench reproduce` run it. Give a number here, or a factor such as x3."
        )
    given, factor = value, 1.0
    if isinstance(value, str) and _FACTOR.fullmatch(value):
        if base is None:
            raise UsageError(
                f"recipe.learning_rate={value}: the recipe has no rate for {method} that could be multiplied, or from "
                "which a search could start; give a number."
            )
        value, factor = value[1:], base
    try:
        rate = _rate(_rate(value) * factor)
    except UsageError as error:
        if given != value:
            rule = f"a factor is x and a number above 0, such as x0.3, that leaves {base:g} a learning rate."
            raise UsageError(f"recipe.learning_rate={given}: {rule}") from error
        meant = " Did you mean tuned?" if isinstance(value, str) and closest(value, [TUNED]) else ""
        raise UsageError(f"{str(error).rstrip('.')}.{meant}") from error
    return float(f"{rate:.4g}")


def _rate(value: Any) -> float:
    """Return a value as a learning rate. Raises UsageError where it is none."""
    return build(RecipeConfig, {"learning_rate": value}, "recipe").learning_rate


def _of_method(rates: Mapping[Any, Any], method: str) -> Any:
    """Return what a map by method name has for a method."""
    for name in rates:
        if name != "default":
            methods.find(str(name))
    if method not in rates and "default" not in rates:
        raise UsageError(f"recipe.learning_rate has no number for {method}: add it, or `default`.")
    return rates.get(method, rates.get("default"))


def check_some(recipes: Iterable[str], chosen: Iterable[str], changes: Iterable[Mapping[str, Any]]) -> None:
    """Raise UsageError where no choice of the recipe's fields is one for any of the chosen methods."""
    composed = compose.load(())
    error: UsageError | None = None
    for name, method, change in product(recipes, chosen, changes):
        try:
            resolved(composed["recipe", name], change, method)
            return
        except UsageError as raised:
            error = error or raised
    if error is not None:
        raise error


def check(model: ModelConfig, recipe: RecipeConfig) -> None:
    """Raise UsageError for fields of a recipe that cannot stand together, or beside the model's."""
    if model.dtype != "fp32" and recipe.precision != model.dtype:
        raise UsageError(
            f"model.dtype={model.dtype}: trainable parameters stay in fp32, and only recipe.precision={model.dtype} "
            "lets the two work together. Set it too."
        )
    _check_parts(recipe)
    _check_updates(recipe)


def _check_parts(recipe: RecipeConfig) -> None:
    """Raise UsageError for a batch or a model that is cut in parts where the optimiser needs it whole."""
    if recipe.optimizer == "lomo" and (recipe.accumulate > 1 or recipe.parallel != "none"):
        raise UsageError(
            "recipe.optimizer=lomo moves a parameter during the backward pass, so a batch cannot be cut: leave "
            "recipe.accumulate and recipe.parallel out, or take adamw, adafactor or sgd."
        )
    if recipe.optimizer == "galore" and recipe.parallel == "fsdp":
        raise UsageError("recipe.optimizer=galore projects whole gradients, and fsdp has parts of them: take ddp.")
    if recipe.awake_layers is not None and recipe.parallel == "fsdp":
        raise UsageError(f"recipe.awake_layers={recipe.awake_layers}: with fsdp no block can sleep; take ddp.")


def _check_updates(recipe: RecipeConfig) -> None:
    """Raise UsageError for a field of gradients or layers that take turns where none does."""
    usual = RecipeConfig()
    if recipe.awake_layers is None and recipe.awake_every != usual.awake_every:
        raise UsageError(f"recipe.awake_every={recipe.awake_every}: no layers take turns. Set recipe.awake_layers too.")
    for field in ("projection_rank", "projection_every", "projection_scale"):
        if recipe.optimizer != "galore" and getattr(recipe, field) != getattr(usual, field):
            raise UsageError(
                f"recipe.{field}={getattr(recipe, field)}: only recipe.optimizer=galore projects gradients. "
                "Take it, or leave the field out."
            )
