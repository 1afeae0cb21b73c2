"""The learning rate of every method by validation alone: the table, and the lines for conf/recipe."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.analysis.output import rate_marks
from harness.analysis.output.notes import label
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import selection
from harness.analysis.study.study import Study
from harness.config import conf_files, yaml_values
from harness.files import plain_files
from harness.formatting import rate

if TYPE_CHECKING:
    import pandas as pd


def by_method(study: Study) -> dict[str, tuple["pd.DataFrame", dict[str, Any]]]:
    """Return arm -> (validation score by rate x (task, seed), the choice over all of them)."""
    rows = study.scores[(study.scores.checkpoint == "best") & (study.scores.role == "validation")]
    tables = {}
    for arm in study.clean.arms:
        table = rows[rows.arm == arm].pivot_table(
            index="learning_rate", columns=["task", "seed"], values="score", aggfunc="mean"
        )
        tables[arm] = (table, selection.choose(table, _broken(study, arm)))
    return tables


def _broken(study: Study, arm: str) -> dict[float, str]:
    """Return the rates that a broken cell of an arm rules out, and how it broke."""
    return selection.broken_rates(study.failures[study.failures.arm == arm])


def table(study: Study) -> Table:
    """Return one row per arm: mean validation score at every rate, the chosen rate, and the edge flag."""
    rates = sorted(study.scores.learning_rate.unique())
    rows = []
    for arm, (scores, chosen) in by_method(study).items():
        keys = study.scores[(study.scores.arm == arm) & (study.scores.role == "validation")]
        scored = [_entry(scores, value, keys) for value in rates]
        best = rate(chosen["learning_rate"]) + rate_marks.EDGES[str(chosen["edge"])]
        rows.append((word(arm), *scored, Entry(best, chosen["learning_rate"])))
    seeds = ", ".join(map(str, study.clean.seeds))
    columns = ("method", *map(rate, rates), "chosen")
    notes = (
        *label(study),
        f"validation score in points, mean over {len(study.clean.tasks)} tasks and seeds {seeds}; "
        "the test sets were not read",
        "ties go to the smaller rate; ↑ / ↓: at the edge of the grid, so a better rate may lie beyond it",
        *_unequal(study),
    )
    return Table("rates", "Learning rates", study.model, columns, tuple(rows), notes)


def _entry(scores: "pd.DataFrame", value: float, rows: "pd.DataFrame") -> Entry:
    if value not in scores.index:
        return Entry(MISSING)
    mean = 100 * float(scores[scores.index == value].mean(axis="columns").iloc[0])
    keys = rows[rows.learning_rate == value].key.unique()
    return Entry(f"{mean:.1f}", mean, keys=tuple(map(str, keys)))


def _unequal(study: Study) -> tuple[str, ...]:
    """Return a note where rates have different cells; only cells that all rates have decide."""
    partial = [arm for arm, (scores, _) in by_method(study).items() if scores.isna().to_numpy().any()]
    failed = len(study.failures)
    notes = (
        [f"not every rate has every cell, so the choice uses the seeds that all rates have: {', '.join(partial)}"]
        if partial
        else []
    )
    return (*notes, *([f"{failed} attempted cells have no score"] if failed else []))


def recipe_lines(studies: Sequence[Study]) -> list[str]:
    """Return the `learning_rate` line of a recipe for each backbone, and each recipe that it was trained with.

    A rate belongs to the backbone that it was chosen on, so several backbones give several documents of YAML.
    """
    lines: list[str] = []
    for study in studies:
        for recipe in dict.fromkeys(study.scores.recipe):
            lines += [*(["---"] if lines else []), *_of_recipe(study, str(recipe))]
    return lines


def _of_recipe(study: Study, recipe: str) -> Iterator[str]:
    """Yield the lines of one recipe on one backbone."""
    chosen = {arm: choice for arm, (_, choice) in by_method(study).items()}
    named = {arm: float(choice["learning_rate"]) for arm, choice in chosen.items()} | _default(recipe)
    edges = ", ".join(f"{arm} at the {choice['edge']} rate tried" for arm, choice in chosen.items() if choice["edge"])
    yield f"# recipe {recipe}: chosen on {study.model}"
    if edges:
        yield f"# edge of the grid: {edges}"
    yield f"learning_rate: {{{', '.join(f'{arm}: {_float(rate(value))}' for arm, value in named.items())}}}"


def _default(recipe: str) -> dict[str, float]:
    """Return the recipe's own rate for untuned methods, which no tuning changes; nothing where it has none."""
    path = conf_files.files("recipe").get(recipe)
    declared = yaml_values.load(plain_files.read_text(path)).get("learning_rate") if path else None
    return {"default": float(declared["default"])} if isinstance(declared, dict) and "default" in declared else {}


def _float(text: str) -> str:
    """Return the number as YAML reads it: YAML 1.1 takes 3e-4 as text, and 3.0e-4 is a number everywhere."""
    return text if "e" not in text or "." in text else text.replace("e", ".0e")
