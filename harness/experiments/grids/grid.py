"""Expand blocks of choices into cells with everything resolved. This is the only expander. Torch-free.

A block maps `method | model | task | recipe | objective | seed` to a name, a pattern or a list of them, and dotted
fields (`method.rank`) to a value or a list. It stands for the product of its choices; blocks are concatenated and
cells with the same key are kept once.

`parents.ROLE` names the parent that a cell builds on in that role: a key, or a block for one cell, as in
{task: micro/qa}. Choices that the block lacks are the child's. Such parents are planned too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, TypeVar

from harness.config import compose, conf_files
from harness.config.building import build
from harness.config.schema import AXES, DOTTED, Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.config.yaml_values import text
from harness.errors import UsageError, near
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids import parent_order
from harness.experiments.grids.blocks import SEARCH, TUNED
from harness.experiments.grids.declared_types import DERIVED, settable, synonyms
from harness.experiments.grids.declared_types import seed as seed_of
from harness.experiments.grids.holes import Hole
from harness.experiments.grids.options import match
from harness.models import weight_files
from harness.nearest import closest
from harness.paths import located
from harness.store import identity
from harness.training.objectives.registry import Reading
from harness.training.objectives.registry import check as check_objective
from methods import registry as methods
from tasks import registry as tasks

Block = Mapping[str, Any]
Placed = TypeVar("Placed", ModelConfig, TaskConfig)
_NAMED = ("model", "task", "recipe")
_FACTOR = re.compile(r"x[-+.0-9].*")


def expand(blocks: Sequence[Block], holes: list[Hole] | None = None) -> list[Cell]:
    """Return the cells in the order seed, then block, then the block's own order.

    holes: a list that takes the combinations that cannot be; None raises for them. Raise UsageError for an unknown
    choice.
    """
    plans = [_Plan(block) for block in blocks]
    compose.load(choice for plan in plans for choice in plan.options())
    compose.load(("recipe", name) for plan in plans for name in plan.model_recipes())
    made = [cell for plan in plans for cell in plan.cells()]
    unique = identity.by_key(cell for cell in made if isinstance(cell, Cell))
    gaps = list(dict.fromkeys(hole for hole in made if isinstance(hole, Hole)))
    if holes is None:
        holes_of_grid.check(gaps, len(unique))
    else:
        holes += gaps
    return by_seed(unique.values())


def by_seed(many: Iterable[Cell]) -> list[Cell]:
    """Return the cells seed by seed in order of first appearance, and each cell after its parents.

    A sweep that stops early then leaves a balanced table.
    """
    many = list(many)
    order = {seed: place for place, seed in enumerate(dict.fromkeys(cell.seed for cell in many))}
    return parent_order.first(sorted(many, key=lambda cell: order[cell.seed]))


class _Plan:
    """One block: its choices by name, then its cells."""

    def __init__(self, block: Block) -> None:
        self._check_keys(block)
        default = compose.defaults()
        self.names = {axis: _names(axis, block.get(axis, default.get(axis))) for axis in ("method", "model", "task")}
        self.recipes = _names("recipe", block["recipe"]) if block.get("recipe") else []
        self.objectives = _names("objective", block["objective"]) if block.get("objective") else []
        self.seeds = [seed_of(seed) for seed in _list(block.get("seed", default.get("seed", 0)))]
        self.fields = {group: _dotted(group, block) for group in DOTTED}
        self._check_fields()

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield (group, name) of every choice of the block, without the recipes that the models name."""
        for group in ("method", "model", "task"):
            yield from ((group, name) for name in self.names[group])
        yield from (("recipe", name) for name in self.recipes)

    def model_recipes(self) -> list[str]:
        """Return the recipes that the models name; none where the block names its own."""
        composed = compose.load(())
        return [] if self.recipes else [_recipe_of(composed["model", name]) for name in self.names["model"]]

    def cells(self) -> Iterator[Cell | Hole]:
        """Yield the cells of the block, each after its parents, and a hole for each combination that cannot be."""
        composed = compose.load(())
        _one_name_each({name: composed["task", name]["name"] for name in self.names["task"]})
        models, chosen = (list(self._choices(axis)) for axis in ("model", "method"))
        changes = list(_products(self.fields["recipe"]))
        self._check_recipes(chosen, changes)
        data = list(self._choices("task"))  # last, because rows may come from the network
        for model, task, method in product(models, data, chosen):
            recipes = self.recipes or [_recipe_of(composed["model", model.option])]
            if error := model.error or task.error or method.error:
                number = len(recipes) * max(1, len(self.objectives)) * len(changes) * len(self.seeds)
                yield Hole(method.name, model.name, task.name, error, number)
                continue
            for name, objective, change in product(recipes, self._objectives(model.value), changes):
                values = composed["recipe", name]
                try:
                    recipe = _recipe(values, change, method.value.name)
                    made = self._seeds(method.value, model.value, task.value, objective, recipe)
                except UsageError as error:
                    made = [Hole(method.name, model.name, task.name, error, len(self.seeds))]
                yield from made

    def _choices(self, axis: str) -> "Iterator[_Choice]":
        """Yield the resolved choices of one axis, and why others cannot be resolved."""
        make: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] = {
            "model": _resolved_model, "task": _resolved_task, "method": _resolved_method,
        }[axis]  # fmt: skip
        composed = compose.load(())
        for option in self.names[axis]:
            values = composed[axis, option]
            name, own = text(values["name"]), self.fields[axis]
            if axis == "method":
                known = methods.find(name).fields
                own = {field: listed for field, listed in own.items() if field in known}
            for change in _products(own):
                try:
                    yield _Choice(option, name, make(values, change))
                except UsageError as error:
                    yield _Choice(option, name, error=error)

    def _check_recipes(self, chosen: "Sequence[_Choice]", changes: Sequence[Mapping[str, Any]]) -> None:
        """Raise UsageError where no choice of the recipe's fields is one for any of the methods."""
        composed = compose.load(())
        error: UsageError | None = None
        names = self.recipes or self.model_recipes()
        for name, method, change in product(names, [option for option in chosen if option.value], changes):
            try:
                _recipe(composed["recipe", name], change, method.name)
                return
            except UsageError as raised:
                error = error or raised
        if error is not None:
            raise error

    def _seeds(
        self, method: MethodConfig, model: ModelConfig, task: TaskConfig, objective: str, recipe: RecipeConfig
    ) -> list[Cell | Hole]:
        """Return one combination at every seed, with its parents. Raise UsageError where it cannot be."""
        check_objective(objective, tasks.row(task).kind)
        read = tasks.prompted(task, objective)
        folder = None if conf_files.added() is None else str(conf_files.added())
        plain = [Cell(method, model, read, objective, recipe, seed, config_dir=folder) for seed in self.seeds]
        Reading.of(plain[0]).check(objective)
        _check_precision(model, recipe)
        _check_parts(recipe)
        _check_updates(recipe)
        return [planned for cell in plain for planned in self._with_parents(cell)]

    def _with_parents(self, cell: Cell) -> Iterator[Cell]:
        """Yield the parents that are planned with a cell, and then the cell."""
        entry = methods.find(cell.method.name)
        kind, own = entry.parents, cell
        if entry.evaluation_only:
            own = replace(cell, recipe=replace(cell.recipe, steps=0))
        groups = {group: [field for field in self.fields[group] if field != "learning_rate"] for group in _NAMED}
        given = {
            f"{group}.{field}": getattr(getattr(cell, group), field) for group in _NAMED for field in groups[group]
        }
        if given.get("recipe.steps") == 0:  # the parents of a cell without steps have steps
            del given["recipe.steps"]
        specs = self.fields["parents"] if kind else {}
        if entry.single_parent:
            specs = {role: [part for spec in listed for part in _each_parent(spec)] for role, listed in specs.items()}
        for chosen in _products(specs):
            planned = {role: _parent(role, spec, cell, kind, given) for role, spec in sorted(chosen.items())}
            keys = []
            for role, parent in planned.items():
                if isinstance(parent, str):
                    keys.append((role, parent))
                    continue
                parent_order.check_head(cell, role, parent[-1])
                yield from parent
                keys.append((role, identity.key(parent[-1])))
            yield replace(own, parents=tuple(keys))

    def _objectives(self, model: ModelConfig) -> list[str]:
        default = compose.defaults().get("objective") or model.objective
        return self.objectives or match("objective", str(default))

    def _check_keys(self, block: Block) -> None:
        for key in block:
            group, dot, field = str(key).partition(".")
            if group == SEARCH:
                raise UsageError(
                    f"{key}: fields are searched with the rate {TUNED}, by sweep and reproduce; leave it out."
                )
            if key not in AXES and not (dot and field and group in DOTTED):
                raise UsageError(f"a grid has no choice {key!r}.{near(str(key), AXES, settable(), synonyms())}")

    def _check_fields(self) -> None:
        """Raise UsageError for a dotted field that does not exist or that follows from other fields."""
        for group, kind in (("model", ModelConfig), ("task", TaskConfig), ("recipe", RecipeConfig)):
            known = {field.name for field in fields(kind)} - set(DERIVED[group])
            for field in self.fields[group]:
                if field not in known:
                    hint = near(f"{group}.{field}", _dot(group, known), settable(), synonyms())
                    raise UsageError(f"{group} has no field {field!r} to set.{hint}")
        composed = compose.load(("method", name) for name in self.names["method"])
        chosen = [methods.find(composed["method", name]["name"]) for name in self.names["method"]]
        known = {field for entry in chosen for field in entry.fields}
        listed = ", ".join(entry.name for entry in chosen)
        if self.fields["parents"] and not any(entry.parents for entry in chosen):
            role = next(iter(self.fields["parents"]))
            raise UsageError(f"parents.{role}: none of the methods {listed} builds on other cells.")
        for field in self.fields["method"]:
            if field not in known:
                hint = near(f"method.{field}", _dot("method", known), settable(), synonyms())
                raise UsageError(f"none of the methods {listed} has a field {field!r}.{hint}")


def _dot(group: str, names: Iterable[str]) -> list[str]:
    """Return the fields as a command line names them."""
    return [f"{group}.{name}" for name in names]


def _check_precision(model: ModelConfig, recipe: RecipeConfig) -> None:
    if model.dtype != "fp32" and recipe.precision != model.dtype:
        raise UsageError(
            f"model.dtype={model.dtype}: trainable parameters stay in fp32, and only recipe.precision={model.dtype} "
            "lets the two work together. Set it too."
        )


def _check_parts(recipe: RecipeConfig) -> None:
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


def _each_parent(spec: Any) -> Iterator[Any]:
    """Yield one description of a parent for each combination of its lists and patterns; a key as it is."""
    if not isinstance(spec, Mapping):
        yield spec
        return
    lists = {str(axis): _list(value) for axis, value in spec.items()}
    named = ("method", "task", "model")
    choices = {axis: _names(axis, listed) if axis in named else listed for axis, listed in lists.items()}
    yield from _products(choices)


def _parent(role: str, spec: Any, child: Cell, kind: str, given: Mapping[str, Any]) -> list[Cell] | str:
    """Return a parent as a key, or as the one cell of a block, after those that it builds on itself.

    Choices that the block lacks are the child's.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", role):
        raise UsageError(f"parents.{role}: a role is a word of letters, digits and _.")
    if isinstance(spec, str) and re.fullmatch(r"[0-9a-f]{64}", spec):
        return spec
    if not isinstance(spec, Mapping):
        raise UsageError(f"parents.{role}={spec}: give a cell's whole key (64 digits), or a block, as {{task: NAME}}.")
    same: dict[str, Any] = {group: getattr(child, group).name for group in _NAMED}
    same |= {"objective": child.objective, "seed": child.seed, **given}
    if kind != parent_order.ANY:
        same["method"] = kind
    elif "method" not in spec:
        raise UsageError(f"parents.{role}={spec}: name its method, as in {{method: full, seed: 0}}.")
    many = expand([{**same, **spec}])
    parents = parent_order.without_children(many)
    if len(parents) != 1 or kind not in (parent_order.ANY, parents[0].method.name):
        names = ", ".join(dict.fromkeys(cell.method.name for cell in parents))
        wanted = f"one {kind} cell" if kind != parent_order.ANY else "one cell"
        raise UsageError(
            f"parents.{role}: {child.method.name} needs {wanted} there; this is {len(parents)} of {names}."
        )
    return [*(cell for cell in many if cell is not parents[0]), parents[0]]


def _recipe(values: Mapping[str, Any], change: Mapping[str, Any], method: str) -> RecipeConfig:
    """Return the recipe of one choice of its fields.

    A null in the YAML leaves a field at its default. A null on the command line must be a value of the field.
    """
    base = learning_rate(values.get("learning_rate"), method, None)
    defaults = {name: value for name, value in values.items() if value is not None and name != "learning_rate"}
    rate = learning_rate(change.get("learning_rate"), method, base)
    own = {**defaults, **change, "learning_rate": rate}
    return build(RecipeConfig, own if rate is not None else _without(own, "learning_rate"), "recipe")


def learning_rate(value: Any, method: str, base: float | None) -> float | None:
    """Return a learning rate as one number with 4 significant digits.

    The value is a number, a map by method name, or `x0.3` for 0.3 times the recipe's own rate.
    """
    if isinstance(value, Mapping):
        for name in value:
            if name != "default":
                methods.find(str(name))
        if method not in value and "default" not in value:
            raise UsageError(f"recipe.learning_rate has no number for {method}: add it, or `default`.")
        value = value.get(method, value.get("default"))
    if value is None:
        return base
    if value == TUNED:
        raise UsageError(
            f"recipe.learning_rate={TUNED} is a search with several cells, for all methods of a grid alike; "
            "`deltabench sweep` and `deltabench reproduce` run it. Give a number here, or a factor such as x3."
        )
    factor = 1.0
    if isinstance(value, str) and _FACTOR.fullmatch(value):
        if base is None:
            raise UsageError(
                f"recipe.learning_rate={value}: the recipe has no rate for {method} that could be multiplied, or from "
                "which a search could start; give a number."
            )
        value, factor = value[1:], base
    try:
        rate = build(RecipeConfig, {"learning_rate": value}, "recipe").learning_rate
    except UsageError as error:
        meant = " Did you mean tuned?" if isinstance(value, str) and closest(value, [TUNED]) else ""
        raise UsageError(f"{str(error).rstrip('.')}.{meant}") from error
    return float(f"{rate * factor:.4g}")


def _one_name_each(named: Mapping[str, str]) -> None:
    """Raise UsageError where two YAML files of a user give their tasks the same name.

    Their records could not be told apart. Several files may set fields of one registered task.
    """
    first: dict[str, str] = {}
    for option, name in named.items():
        if first.setdefault(name, option) != option and name not in tasks.catalogue():
            raise UsageError(f"two YAML files claim the task {name!r}: {first[name]} and {option}. Rename one of them.")


def _placed(config: Placed, *names: str) -> Placed:
    """Return the configuration with absolute paths in these fields: its command then works in any folder."""
    given = {name: getattr(config, name) for name in names}
    wanted = {name: located(text).absolute() for name, text in given.items() if text and text != weight_files.BYTES}
    changed: dict[str, Any] = {name: str(path) for name, path in wanted.items()}
    return replace(config, **changed)


@dataclass(frozen=True)
class _Choice:
    """One choice of an axis. option: its YAML. value: it, resolved; None where `error` says why it cannot be."""

    option: str
    name: str
    value: Any = None
    error: UsageError | None = None


def _resolved_model(values: Mapping[str, Any], change: Mapping[str, Any]) -> ModelConfig:
    made = weight_files.resolve(build(ModelConfig, {**values, **change}, "model"))
    return _placed(made, "tokenizer", "path", *(["location"] if made.source == "folder" else []))


def _resolved_task(values: Mapping[str, Any], change: Mapping[str, Any]) -> TaskConfig:
    return _placed(tasks.resolve(build(TaskConfig, {"prompt": "auto", **values, **change}, "task")), "data_dir")


def _resolved_method(values: Mapping[str, Any], change: Mapping[str, Any]) -> MethodConfig:
    return MethodConfig(values["name"], methods.resolve(values["name"], {**_without(values, "name"), **change}))


def _recipe_of(model: Mapping[str, Any]) -> str:
    name = model.get("recipe")
    if not name:
        raise UsageError(f"model {model['name']} names no recipe: add recipe=NAME.")
    return match("recipe", str(name))[0]


def _names(axis: str, value: Any) -> list[str]:
    if value is None:
        raise UsageError(f"a grid needs a {axis}: add {axis}=NAME.")
    options = [name for item in _list(value) for name in match(axis, text(item))]
    return list(dict.fromkeys(options))


def _dotted(group: str, block: Block) -> dict[str, list[Any]]:
    start = f"{group}."
    return {str(key)[len(start) :]: _list(value) for key, value in block.items() if str(key).startswith(start)}


def _products(choices: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _list(value: Any) -> list[Any]:
    """Return a choice, or a list of choices, as a list. A list of lists is a choice of lists."""
    if isinstance(value, list | tuple):
        if not value:
            raise UsageError("a choice in a grid is an empty list.")
        return list(value)
    return [value]


def _without(values: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != left_out}
