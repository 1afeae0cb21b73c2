"""Standard errors over new test rows: what a score, or a weighted sum of scores, would vary by on other rows.

Where it is known what each row scored, scores on the same rows are paired.
"""

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.study import statistics
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Array

Term = tuple[float, str, int]
"""A part of a weighted sum of scores: its weight, an arm, and the place of a column."""


def of_arms(panel: Panel, arms: Sequence[str], weights: Sequence[Array] | None = None) -> float:
    """Return the standard error, over new test rows, of the sum of these arms' weighted means over tasks.

    weights: one [T] for each arm, with its sign; by default 1 for the first arm and -1 for the others. Where it is
    known what each row scored, the rows are paired: answers that go together cancel out. Otherwise this is an upper
    bound, for which the arms' answers to one row are taken for independent.
    Simulated (`tests/benchmarks/rows.py`), the interval of a difference of paired rows covers 95 to 100 %, with the
    bound over 99 %, and over seeds alone 79 to 97 %.
    Columns that differ in training only are scored on the same rows, so their errors add up. 0 where a metric is no
    mean over rows, or their number is not known.
    """
    if not panel.by_row.all() or not panel.tasks:
        return 0.0
    weights = weights or [np.full(len(panel.tasks), 1.0 if place == 0 else -1.0) for place in range(len(arms))]
    columns: dict[tuple[str, str], list[int]] = {}
    for place in range(len(panel.tasks)):
        columns.setdefault(_test_rows(panel, place), []).append(place)
    return math.sqrt(sum(_same_rows(panel, arms, weights, at) for at in columns.values())) / len(panel.tasks)


def of_terms(panel: Panel, terms: Sequence[Term]) -> float:
    """Return the standard error, over new test rows, of a weighted sum of scores of arms in different columns.

    Scores on the same test rows are paired where it is known what each row scored, as in `of_arms`. Otherwise they
    are taken for independent, which is an upper bound for a difference. 0 where a metric is no mean over rows.
    """
    if not all(panel.by_row[column] for _, _, column in terms):
        return 0.0
    groups: dict[tuple[str, str], list[Term]] = {}
    for term in terms:
        groups.setdefault(_test_rows(panel, term[2]), []).append(term)
    return math.sqrt(sum(_across(panel, group) for group in groups.values()))


def _test_rows(panel: Panel, column: int) -> tuple[str, str]:
    """Return the same names for columns with the same test rows, as those that differ in training only."""
    name, _, part = panel.tasks[column].partition(":")
    return name.partition(" ")[0], part


def _across(panel: Panel, terms: Sequence[Term]) -> float:
    """Return the variance of a weighted sum of scores on the same test rows."""
    values = np.stack([panel.of(arm)[column] for _, arm, column in terms])
    seeds = ~np.isnan(values).any(axis=0)
    scored = [panel.scored(arm, column, seeds) for _, arm, column in terms]
    known = [weight * figures for (weight, _, _), figures in zip(terms, scored, strict=True) if figures is not None]
    if len(known) == len(terms) and len({figures.shape for figures in known}) == 1 and known[0].shape[-1] > 1:
        return statistics.paired_row_variance(np.sum(known, axis=0), sum(weight**2 for weight, _, _ in terms))
    means = [np.clip(np.nanmean(scores), 0, 1) for scores in values]
    shares = [statistics.row_variance(mean, panel.rows[term[2]]) for term, mean in zip(terms, means, strict=True)]
    return float(sum(weight**2 * share for (weight, _, _), share in zip(terms, shares, strict=True)))


def _same_rows(panel: Panel, arms: Sequence[str], weights: Sequence[Array], columns: Sequence[int]) -> float:
    """Return the variance, over new test rows, of the weighted sum over columns with the same test rows."""
    paired = [_paired(panel, arms, weights, column) for column in columns]
    known = [figures for figures in paired if figures is not None]
    if len(known) == len(columns) and len({figures.shape for figures in known}) == 1:
        squares = sum(float(weight[column]) ** 2 for weight in weights for column in columns)
        return statistics.paired_row_variance(np.sum(known, axis=0), squares)
    errors = [
        _bound(panel, arms, weights, column) if figures is None
        else statistics.paired_row_variance(figures, sum(float(weight[column]) ** 2 for weight in weights))
        for column, figures in zip(columns, paired, strict=True)
    ]  # fmt: skip
    return sum(math.sqrt(error) for error in errors) ** 2


def _paired(panel: Panel, arms: Sequence[str], weights: Sequence[Array], column: int) -> Array | None:
    """Return the weighted sum of what each row scored with these arms: [S, rows] of the seeds that all of them have.

    None where that is not known.
    """
    values = np.stack([panel.of(arm)[column] for arm in arms])
    seeds = ~np.isnan(values).any(axis=0)
    scored = [panel.scored(arm, column, seeds) for arm in arms]
    if any(figures is None or figures.shape[-1] < 2 for figures in scored):
        return None
    if len({figures.shape for figures in scored if figures is not None}) != 1:
        return None
    total: Array = np.sum([weight[column] * figures for weight, figures in zip(weights, scored, strict=True)], axis=0)
    return total


def _bound(panel: Panel, arms: Sequence[str], weights: Sequence[Array], column: int) -> float:
    """Return an upper bound of the variance of a weighted sum in one column, from the arms' scores alone."""
    means = [np.clip(np.nanmean(panel.of(arm)[column]), 0, 1) for arm in arms]
    shares = [statistics.row_variance(mean, panel.rows[column]) for mean in means]
    return float(sum(weight[column] ** 2 * share for weight, share in zip(weights, shares, strict=True)))
