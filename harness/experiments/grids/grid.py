"""Expand blocks of choices into cells with everything resolved. This is the only expander. Torch-free.

A block maps `method | model | task | recipe | objective | seed` to a name, a pattern or a list of them, and dotted
fields (`method.rank`) to a value or a list. It stands for the product of its choices; blocks are concatenated and
cells with the same key are kept once.

`parents.ROLE` names the parent that a cell builds on in that role (cell_parents.py). Such parents are planned too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from harness import formatting
from harness.config import compose, conf_files
from harness.config.schema import AXES, DOTTED, Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError, near
from harness.experiments.grids import axis_choices, cell_parents, idle_choices, parent_order, recipe_choices
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids.axis_choices import Choice
from harness.experiments.grids.blocks import SEARCH, TUNED, Block
from harness.experiments.grids.declared_types import DERIVED, settable, synonyms
from harness.experiments.grids.declared_types import seed as seed_of
from harness.experiments.grids.holes import Hole
from harness.store import identity
from harness.training.objectives.registry import Reading, trains_nothing
from harness.training.objectives.registry import check as check_objective
from methods import registry as methods
from tasks import registry as tasks


def expand(blocks: Sequence[Block], holes: list[Hole] | None = None) -> list[Cell]:
    """Return the cells in the order seed, then block, then the block's own order.

    holes: a list that takes the combinations that cannot be; None raises for them. Raise UsageError for an unknown
    choice.
    """
    with reading_once() as known:
        return _expanded(blocks, holes, known)


@dataclass(frozen=True)
class _Known:
    """What expansions work out once, though many cells need it: files and rows are read for each of these.

    parents: the block of a parent, as text -> its cells. names: axis and names or patterns, as text -> the options.
    choices: axis, option and fields, as text -> the choices. recipes: recipe, fields and method, as text -> the recipe.
    prompted: the id of a task and an objective -> the task, which lives on with its id, and the task with its prompts.
    """

    parents: dict[str, list[Cell]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, list[Choice]] = field(default_factory=dict)
    recipes: dict[str, RecipeConfig] = field(default_factory=dict)
    prompted: dict[tuple[int, str], tuple[TaskConfig, TaskConfig]] = field(default_factory=dict)


_reading: ContextVar[_Known | None] = ContextVar("reading", default=None)


@contextmanager
def reading_once() -> Iterator[_Known]:
    """Let all expansions inside share what they read. It is for one look at many grids: files may change later."""
    known = _reading.get() or _Known()
    token = _reading.set(known)
    try:
        yield known
    finally:
        _reading.reset(token)


def _expanded(blocks: Sequence[Block], holes: list[Hole] | None, known: _Known) -> list[Cell]:
    plans = [_Plan(block, known) for block in blocks]
    compose.load(choice for plan in plans for choice in plan.options())
    compose.load(("recipe", name) for plan in plans for name in plan.model_recipes())
    made = [cell for plan in plans for cell in plan.distinct()]
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

    def __init__(self, block: Block, known: _Known) -> None:
        _check_keys(block)
        self.known = known
        default = compose.defaults()
        self.objective = default.get("objective")
        self.names = {
            axis: self._names(axis, block.get(axis, default.get(axis))) for axis in ("method", "model", "task")
        }
        self.recipes = self._names("recipe", block["recipe"]) if block.get("recipe") else []
        self.objectives = self._names("objective", block["objective"]) if block.get("objective") else []
        self.seeds = [seed_of(seed) for seed in axis_choices.listed(block.get("seed", default.get("seed", 0)))]
        self.fields = {group: axis_choices.dotted(group, block) for group in DOTTED}
        _check_fields(self.fields)
        _check_method_fields(self.fields, self.names["method"])

    def _names(self, axis: str, value: Any) -> list[str]:
        """Return the options of an axis that the block names."""
        text = repr((axis, value))
        if text not in self.known.names:
            self.known.names[text] = axis_choices.names(axis, value)
        return self.known.names[text]

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield (group, name) of every choice of the block, without the recipes that the models name."""
        for group in ("method", "model", "task"):
            yield from ((group, name) for name in self.names[group])
        yield from (("recipe", name) for name in self.recipes)

    def model_recipes(self) -> list[str]:
        """Return the recipes that the models name; none where the block names its own."""
        composed = compose.load(())
        return [] if self.recipes else [recipe_choices.name_of(composed["model", name]) for name in self.names["model"]]

    def distinct(self) -> list[Cell | Hole]:
        """Return `cells`. Raise UsageError where two choices of a field would be one cell, and one would be dropped."""
        made = list(self.cells())
        idle_choices.check([cell for cell in made if isinstance(cell, Cell)], self.fields)
        return made

    def cells(self) -> Iterator[Cell | Hole]:
        """Yield the cells of the block, each after its parents, and a hole for each combination that cannot be."""
        composed = compose.load(())
        axis_choices.check_one_name_each({name: composed["task", name]["name"] for name in self.names["task"]})
        models, chosen = (self._choices(axis) for axis in ("model", "method"))
        changes = list(axis_choices.products(self.fields["recipe"]))
        first = changes[0].get("learning_rate")
        able = [method.name for method in chosen if method.value]
        recipe_choices.check_some(self.recipes or self.model_recipes(), able, changes)
        data = self._choices("task")  # last, because rows may come from the network
        for model, task, method in product(models, data, chosen):
            recipes = self.recipes or [recipe_choices.name_of(composed["model", model.option])]
            if error := model.error or task.error or method.error:
                number = len(recipes) * max(1, len(self.objectives)) * len(changes) * len(self.seeds)
                yield Hole(method.name, model.name, task.name, error, number)
                continue
            for name, objective, change in product(recipes, self._objectives(model.value), changes):
                if trains_nothing(method.name, objective) and change.get("learning_rate") != first:
                    continue  # the same result at every rate
                try:
                    recipe = self._recipe(name, change, method.value.name)
                    made = self._seeds(method.value, model.value, task.value, objective, recipe)
                except UsageError as error:
                    made = [Hole(method.name, model.name, task.name, error, len(self.seeds))]
                yield from made

    def _choices(self, axis: str) -> list[Choice]:
        """Return the resolved choices of one axis, and why others cannot be resolved."""
        listed, choices = self.fields[axis], list[Choice]()
        for option in self.names[axis]:
            text = repr((axis, option, listed))
            made = self.known.choices.get(text) or list(axis_choices.resolved(axis, option, listed))
            if not any(choice.error for choice in made):  # holes of several blocks count apart, by their errors
                self.known.choices[text] = made
            choices += made
        return choices

    def _recipe(self, name: str, change: Mapping[str, Any], method: str) -> RecipeConfig:
        text = repr((name, change, method))
        if text not in self.known.recipes:
            values = compose.load(())["recipe", name]
            self.known.recipes[text] = recipe_choices.resolved(values, change, method)
        return self.known.recipes[text]

    def _objectives(self, model: ModelConfig) -> list[str]:
        return self.objectives or self._names("objective", str(self.objective or model.objective))

    def _seeds(
        self, method: MethodConfig, model: ModelConfig, task: TaskConfig, objective: str, recipe: RecipeConfig
    ) -> list[Cell | Hole]:
        """Return one combination at every seed, with its parents. Raise UsageError where it cannot be."""
        check_objective(objective, tasks.row(task).kind)
        read = self._prompted(task, objective)
        folder = None if conf_files.added() is None else str(conf_files.added())
        plain = [Cell(method, model, read, objective, recipe, seed, config_dir=folder) for seed in self.seeds]
        Reading.of(plain[0]).check(objective)
        recipe_choices.check(model, recipe)
        return [planned for cell in plain for planned in self._with_parents(cell)]

    def _prompted(self, task: TaskConfig, objective: str) -> TaskConfig:
        known = self.known.prompted
        if (id(task), objective) not in known:
            known[id(task), objective] = task, tasks.prompted(task, objective)
        return known[id(task), objective][1]

    def _with_parents(self, cell: Cell) -> Iterator[Cell]:
        """Yield the parents that are planned with a cell, and then the cell."""
        own = cell
        if methods.find(cell.method.name).evaluation_only:
            own = replace(cell, recipe=replace(cell.recipe, steps=0))
        for chosen in cell_parents.descriptions(self.fields["parents"], cell.method.name):
            planned = {role: self._parents(role, description, cell) for role, description in chosen.items()}
            keys = []
            for role, parents in planned.items():
                if isinstance(parents, str):
                    keys.append((role, parents))
                    continue
                parent_order.check_head(cell, role, parents[-1])
                yield from parents
                keys.append((role, identity.key(parents[-1])))
            yield replace(own, parents=tuple(keys)) if keys else own

    def _parents(self, role: str, description: Any, child: Cell) -> list[Cell] | str:
        """Return a parent as a key, or the cells of its block, the parent last."""
        block = cell_parents.block(role, description, child, self.fields)
        if isinstance(block, str):
            return block
        text = repr(sorted(block.items()))
        if text not in self.known.parents:
            self.known.parents[text] = _expanded([block], None, self.known)
        return cell_parents.in_order(role, self.known.parents[text], child)


def _check_keys(block: Block) -> None:
    """Raise UsageError for an axis that a grid does not have."""
    for key in block:
        group, dot, field = str(key).partition(".")
        if group == SEARCH:
            raise UsageError(f"{key}: fields are searched with the rate {TUNED}, by sweep and reproduce; leave it out.")
        if key not in AXES and not (dot and field and group in DOTTED):
            raise UsageError(f"a grid has no choice {key!r}.{near(str(key), AXES, settable(), synonyms())}")


def _check_fields(given: Mapping[str, Iterable[str]]) -> None:
    """Raise UsageError for a field that does not exist or that follows from other fields. given: group -> fields."""
    for group, kind in (("model", ModelConfig), ("task", TaskConfig), ("recipe", RecipeConfig)):
        known = {field.name for field in fields(kind)} - set(DERIVED[group])
        for name in given[group]:
            if name not in known:
                raise UsageError(f"{group} has no field {name!r} to set.{_hint(group, name, known)}")


def _check_method_fields(given: Mapping[str, Iterable[str]], options: Sequence[str]) -> None:
    """Raise UsageError for parents or a field of a method where none of the methods has any. options: their YAML."""
    composed = compose.load(("method", name) for name in options)
    chosen = [methods.find(composed["method", name]["name"]) for name in options]
    known = {name for entry in chosen for name in entry.fields}
    named = list(dict.fromkeys(entry.name for entry in chosen))
    none = f"method {named[0]}" if len(named) == 1 else f"none of the methods {formatting.enumeration(named)}"
    if given["parents"] and not any(entry.parents for entry in chosen):
        role, no = next(iter(given["parents"])), " on no" if len(named) == 1 else " on"
        raise UsageError(f"parents.{role}: {none} builds{no} other cells.")
    for name in given["method"]:
        if name not in known:
            has = "has no" if len(named) == 1 else "has a"
            raise UsageError(f"{none} {has} field {name!r}.{_method_hint(name, known)}")


def _method_hint(field: str, known: Iterable[str]) -> str:
    """Return what a field that none of the methods has may mean; where other methods have it, what there is here."""
    if not known:
        return " There are no fields to set."
    if field == methods.BUDGET:
        return methods.SIZELESS
    elsewhere = f"method.{field}" in settable()
    return near("", (f"method.{name}" for name in known)) if elsewhere else _hint("method", field, known)


def _hint(group: str, field: str, known: Iterable[str]) -> str:
    """Return the fields of a group that a wrong one may mean, as a command line names them."""
    elsewhere = (name for name in settable() if not name.startswith(f"{group}."))
    return near(f"{group}.{field}", [f"{group}.{name}" for name in known], elsewhere, synonyms())
