"""The best learning rate of each arm by steps: the table, the ratio of two arms, and what a field of theirs changes."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.analysis.output import notes
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import comparisons, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import finding
from harness.analysis.study.study import Study
from harness.analysis.tuning import losses, optimum
from harness.analysis.tuning.optimum import Grid, Optimum
from harness.analysis.views import field_values, pairs
from harness.experiments.claims import Claim
from harness.experiments.verdict import Comparison, Finding
from harness.formatting import rate as rate_text

SIMILAR = "similar"


def table(study: Study) -> Table:
    """Return one row per arm and number of steps: the best rate, its ratio to the ceiling's, the grid's best rate, and
    the mean loss there. Where there are several tasks, there is such a row for each of them, too.
    """
    rows, several = [], len(study.clean.tasks) > 1
    parts = (None, *study.clean.tasks) if several else (None,)
    for arm, task, step in itertools.product(study.clean.arms, parts, losses.steps(study)):
        mine = losses.grid(study, arm, step, task)
        best = optimum.best(mine)
        ceiling = study.ceiling
        ratio = _over(mine, losses.grid(study, ceiling, step, task)) if ceiling and arm != ceiling else Entry(MISSING)
        named = (word(task or "all"),) if several else ()
        steps = Entry(str(step), step, keys=mine.keys)
        rows.append((word(arm), *named, steps, entry(best, mine.keys), ratio, *_on_grid(mine)))
    heads = ("steps", "best rate", f"over {study.ceiling}", "best of the grid", "loss there")
    columns = ("method", *(("task",) if several else ()), *heads)
    return Table("best-rates", "Best learning rates", study.model, columns, tuple(rows), _notes(study))


def _over(left: Grid, right: Grid) -> Entry:
    return entry(optimum.ratio(left, right), left.keys + right.keys)


def entry(best: Optimum, keys: tuple[str, ...] = ()) -> Entry:
    """Return a best rate, or a ratio of two, as "2.1e-3 [1.5e-3, 2.9e-3]", or why there is none."""
    main = best.interval
    if math.isnan(main.mean):
        return Entry(f"{MISSING} {_SHORT[best.reason]}", keys=keys)
    mean, low, high = (10**value for value in (main.mean, main.low, main.high))
    if math.isnan(main.low):
        return Entry(f"{_two(mean)} [{_SHORT[best.reason]}]", mean, keys=keys)
    return Entry(f"{_two(mean)} [{_two(low)}, {_two(high)}]", mean, low, high, keys)


_SHORT = {
    optimum.EDGE: "edge",
    optimum.FLAT: "flat",
    optimum.FEW_RATES: "few rates",
    optimum.FEW_SEEDS: "one seed",
    optimum.UNSURE: "unsure",
}


def _two(value: float) -> str:
    """Return two digits, as rates are written where the value is small."""
    rounded = float(f"{value:.2g}")
    return rate_text(rounded) if rounded < 0.1 else f"{rounded:g}"


def _on_grid(grid: Grid) -> tuple[Entry, Entry]:
    if not grid.values.size:
        return Entry(MISSING), Entry(MISSING)
    means = grid.values.mean(axis=1)
    place = int(means.argmin())
    best, loss = float(grid.rates[place]), float(np.exp(means[place]))
    return Entry(rate_text(best), best, keys=grid.keys), Entry(f"{loss:.3g}", loss, keys=grid.keys)


def _notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.label(study),
        f"best rate: lowest point of a parabola through the mean log losses near the best rate of the grid, over "
        f"{notes.seeds(study.clean)}; in brackets: {statistics.LEVEL:.0%} interval over seeds (bootstrap of whole "
        "seeds, Student's t)",
        "loss: the lowest validation loss of a cell up to so many steps, geometric mean over seeds and tasks",
        *(("all: geometric mean over the tasks, which the claims are about",) if len(study.clean.tasks) > 1 else ()),
        "edge: the lowest loss is at the end of the rates tried; flat: the parabola has no lowest point among them; "
        "unsure: more than 5 % of the resamples of the seeds have none",
    )


def ratio(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether left's best rate is the printed multiple of right's, within the margin on both sides."""
    printed, known = math.log10(float(options["ratio"])), losses.steps(study)
    step = int(options["steps"] or (known[-1] if known else 0))
    compared = pairs.sides(study, options) if step in known else []
    optima = [optimum.ratio(*(losses.grid(study, arm, step) for arm in pair)) for pair in compared]
    rows = _rows(study, compared, optima, printed, float(options["margin"])) or pairs.absent(options, SIMILAR)
    texts = _texts(compared, optima, f"after {step} steps")
    return finding(study, claim, float(options["margin"]), rows, {"steps": step}, [], texts)


def alike(study: Study, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test for all pairs of arms of a method that differ in a field whether their best rates are the same, within the
    margin.
    """
    known = losses.steps(study)
    arms = field_values.arms(study, str(options["method"]), str(options["field"])) if known else {}
    compared = [(arms[large], arms[small]) for small, large in itertools.combinations(arms, 2)]
    grids = {arm: losses.grid(study, arm, known[-1]) for arm in arms.values()}
    optima = [optimum.ratio(grids[left], grids[right]) for left, right in compared]
    rows = _rows(study, compared, optima, 0.0, float(options["margin"]))
    texts = _texts(compared, optima, f"after {known[-1]} steps" if known else "")
    return finding(study, claim, float(options["margin"]), rows, {}, [], texts)


def _rows(
    study: Study, compared: Sequence[tuple[str, str]], optima: Sequence[Optimum], neutral: float, margin: float
) -> tuple[Comparison, ...]:
    """Return a comparison per pair: log10 of the ratio less `neutral`, tested on both sides. A pair without a ratio is
    inconclusive, with the reason.
    """
    estimated = []
    for pair, ratio_of in zip(compared, optima, strict=True):
        main = ratio_of.interval
        shifted = replace(main, mean=main.mean - neutral, low=main.low - neutral, high=main.high - neutral)
        keys = study.clean.cells(*pair)
        estimated.append(Estimate(shifted, shifted, keys))
    rows = comparisons.compare(study, compared, [SIMILAR] * len(optima), estimated, margin)
    return tuple(_settled(row, best, neutral) for row, best in zip(rows, optima, strict=True))


def _settled(row: Comparison, best: Optimum, neutral: float) -> Comparison:
    if not best.reason or best.reason == optimum.FEW_SEEDS:
        return row
    mean = best.interval.mean
    known = None if math.isnan(mean) else mean - neutral
    return replace(row, verdict="inconclusive", estimate=known, low=None, high=None, p=None, reason=best.reason)


def _texts(compared: Sequence[tuple[str, str]], optima: Sequence[Optimum], when: str) -> Any:
    """Return the function that says of a comparison what its ratio is."""
    texts = {pair: entry(best).text for pair, best in zip(compared, optima, strict=True)}

    def describe(row: Comparison) -> str:
        """Return 'the best rate of lora is 1.9 [1.2, 3.0] times that of full after 200 steps'."""
        text = texts.get((row.left, row.right))
        if text is None or text.startswith(MISSING):
            return f"{row.left} against {row.right} {when}: no ratio"
        return f"the best rate of {row.left} is {text} times that of {row.right} {when}"

    return describe
