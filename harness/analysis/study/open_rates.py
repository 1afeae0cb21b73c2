"""Open learning rates: a better rate may exist, so a comparison that it could change is inconclusive.

What a better rate could reach is bounded: no score is above its metric's maximum. So a comparison is tested again
with that score in place of the loser's open ones, and is decided where its verdict stays (`order.compare`). Seed by
seed no rate gives a smaller difference, so this test holds for every rate. A claim that has no such bound, as one about
spectra, stays open whenever a cell is that could change it (`settle`).

A rate is open where it was tried alone and was tuned nowhere for this backbone, and where it is at the edge of the
rates it was chosen from. Rates that another backbone's tuning chose count as untuned: the records of the tuning
exhibits (`sets: validation`) say on which backbone a recipe's rate was chosen.

A rate that was chosen on the reported seeds makes its own score too good, by an amount that nothing bounds. So a
comparison with such a score is inconclusive, whichever side has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from harness import assets
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.experiments.verdict import Comparison
from harness.store import archive, identity

if TYPE_CHECKING:
    import pandas as pd

ALONE, EDGE = "only one learning rate was tried", "the learning rate is at the edge of those tried"
REPORTED = "the learning rate was chosen on the seeds that are reported"
REASONS = (ALONE, EDGE, REPORTED)
TIED = "at learning rates that validation cannot tell apart it may be decided otherwise"
"""The reason of a comparison whose verdict does not hold at equally good rates (robustness/tied_rates.py)."""


class Rated(Protocol):
    """What is read of a `Study`, whose open rates `places` returns."""

    @property
    def scores(self) -> "pd.DataFrame":
        """Return the rows of scores, one per cell, checkpoint and set."""

    @property
    def rates(self) -> "pd.DataFrame":
        """Return the chosen rates by arm and task."""

    @property
    def chosen_on_reported(self) -> frozenset[tuple[str, str]]:
        """Return the (arm, task) whose rate was chosen among several on the seeds that are reported."""

    @property
    def open_rates(self) -> Mapping[tuple[str, str], str]:
        """Return (arm, task) -> why a better rate may exist."""

    def trains(self, arm: str) -> bool:
        """Return whether an arm has a rate at all."""


Sides = tuple[tuple[str, ...], tuple[str, ...]]


def places(study: Rated) -> dict[tuple[str, str], str]:
    """Return (arm, task) -> why its rate is open. An arm that trains nothing has no rate."""
    rows = study.scores.drop_duplicates(["arm", "task"])
    content = {(row["arm"], row["task"]): row["cell"] for row in rows.to_dict("records")}
    reasons = {}
    for row in study.rates.reset_index().to_dict("records"):
        arm, task = str(row["arm"]), str(row["task"])
        searched = _edge_of_search(content[arm, task]) if row["tried"] < 2 else None
        alone = row["tried"] < 2 and searched is None and not tuned(content[arm, task])
        reported = (arm, task) in study.chosen_on_reported
        if study.trains(arm) and (alone or reported or row["edge"] or searched):
            reasons[arm, task] = ALONE if alone else REPORTED if reported else EDGE
    return reasons


def cells_of(study: Rated) -> Mapping[str, str]:
    """Return the key of a cell -> why its rate is open."""
    placed = {row["key"]: (row["arm"], row["task"]) for row in study.scores[["key", "arm", "task"]].to_dict("records")}
    return {key: study.open_rates[place] for key, place in placed.items() if place in study.open_rates}


def settle(study: Rated, margin: float, rows: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
    """Return the comparisons, inconclusive where a better rate could change them and a rate is open, and where a rate
    was chosen on the reported seeds.
    """
    reasons = cells_of(study)
    return tuple(_settled(row, margin, reasons) for row in rows)


def _settled(row: Comparison, margin: float, reasons: Mapping[str, str]) -> Comparison:
    if row.verdict == "untested" or row.estimate is None:
        return row
    marks = {reasons[key] for key in row.keys if key in reasons} & {REPORTED}
    if not row.at_best:
        keys = [key for group in hinges(row.relation, row.verdict, row.estimate, margin, row.sides) for key in group]
        marks |= {reasons[key] for key in (keys or row.keys) if key in reasons}
    if not marks:
        return row
    why = next(reason for reason in REASONS if reason in marks)
    return replace(
        row, verdict="inconclusive", reason=why, seeds=None, fewest=None, most=None, rows=None, at_best=False
    )


def hinges(relation: str, verdict: str, estimate: float, margin: float, sides: Sides) -> tuple[tuple[str, ...], ...]:
    """Return the cells whose better score could change the verdict, or the verdict that more seeds would give, by side.

    A better rate raises a score. So it can undo "left is above right" through right alone, the opposite through left
    alone, and "similar" through either. Where the estimate is no difference of two sides' scores, sides are empty: then
    there is no such side, and every cell counts.
    """
    left, right = sides
    if not (left and right):
        return ()
    if relation == "similar":
        near = verdict == "reproduced" or (verdict == "inconclusive" and abs(estimate) < margin)
        return (left, right) if near else (right,) if estimate > 0 else (left,)
    holds = verdict == "reproduced"
    if verdict == "inconclusive":
        holds = estimate > (-margin if relation == "at least" else margin)
    return (right,) if holds else (left,)


def search_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the search that a cell's record says its rate comes from; {} without one."""
    search = content["recipe"].get("rate_search")
    return search if isinstance(search, Mapping) else {}


def searched_seeds(contents: Iterable[Mapping[str, Any]]) -> frozenset[int]:
    """Return the seeds on which searches tried rates, as the records of these cells say."""
    seeds = [search_of(content).get("seeds") for content in contents]
    return frozenset(seed for some in seeds if isinstance(some, list) for seed in some if type(seed) is int)


def _edge_of_search(content: Mapping[str, Any]) -> str | None:
    """Return at which edge of its search a cell's rate lies, "" for none; None where no search has compared rates."""
    search = search_of(content)
    tried, edge = search.get("tried"), search.get("edge")
    return edge if isinstance(tried, list) and len(tried) > 1 and edge in ("", "lowest", "highest") else None


def tuned(content: Mapping[str, Any]) -> bool:
    """Return whether a tuning exhibit chose this cell's rate, inside its grid, for its method, backbone and recipe."""
    if (content["model"]["name"], content["method"]["name"]) not in {names for names, _ in _chosen().values()}:
        return False
    try:
        _, rate = _chosen().get(_family(content), ((), None))
    except UsageError:  # written by a version with other fields
        return False
    return rate is not None and float(content["recipe"]["learning_rate"]) == rate


def _family(content: Mapping[str, Any]) -> str:
    """Return what a rate is tuned for: a cell without its task, seed and rate, and however often it is evaluated."""
    cell = identity.from_json(content)
    recipe = replace(cell.recipe, learning_rate=1.0, evaluate_every=1)
    return identity.canonical(replace(cell, seed=0, task=TaskConfig(""), parents=(), recipe=recipe))


@cache
def _chosen() -> Mapping[str, tuple[tuple[str, str], float]]:
    """Return family -> ((model, method), the rate that the reference records of a tuning exhibit chose inside their
    grid).
    """
    import pandas as pd

    from harness.analysis.study import selection  # here: it needs pandas

    by_key = {run.record["key"]: _trial(run) for run in _tuning()}
    chosen = {}
    for family, rows in pd.DataFrame(list(by_key.values())).groupby("family", sort=False):
        scores = rows[rows.status == "done"].pivot_table(index="learning_rate", columns="place", values="score")
        best = selection.choose(scores, selection.broken_rates(rows)) if len(scores) else {"tried": 0}
        if int(best["tried"]) > 1 and not best["edge"]:
            chosen[str(family)] = (rows.names.iloc[0], float(best["learning_rate"]))
    return chosen


def _trial(run: archive.Run) -> dict[str, Any]:
    """Return what a cell of a tuning exhibit says of its rate; score: on validation, None where it did not finish."""
    cell, best = run.record["cell"], (run.record.get("scores") or {}).get("best") or {}
    scores = (best.get("sets") or {}).get("validation") or {}
    return {
        "family": _family(cell),
        "names": (cell["model"]["name"], cell["method"]["name"]),
        "learning_rate": float(cell["recipe"]["learning_rate"]),
        "place": f"{cell['task']['name']} {cell['seed']}",
        "score": scores.get((run.record.get("task_facts") or {}).get("metric")),
        "status": run.record["status"],
    }


def _tuning() -> list[archive.Run]:
    """Return our reference records of exhibits that tune rates."""
    from harness.experiments import exhibits

    paths = sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))
    known = [path for path in paths if path.parent.name in exhibits.names()]
    archives = [path for path in known if exhibits.load(path.parent.name).sets == "validation"]
    return [run for path in archives for run in archive.from_archive(path)]
