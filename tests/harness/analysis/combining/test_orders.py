"""Orders of methods on records whose truth is known: the claim both ways, and the stages in the figure."""

from collections.abc import Callable, Mapping
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from scipy import stats

from harness.analysis import judging
from harness.analysis.combining import orders
from harness.analysis.output import figure_style
from harness.analysis.study import estimates, open_rates, study
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

FIRST, SECOND = ("prompt", "adapter"), ("adapter", "prompt")
Make = Callable[..., Study]


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(
        worth: Mapping[tuple[str, str], Mapping[str, float]],
        noise: float = 0.004,
        seeds: int = 6,
        more: Mapping[tuple[str, str], int] = {},
    ) -> Study:
        runs = [
            make_run("sequence", task, seed, fields={"parts": list(parts)}, quality={"sequence": value}, noise=noise)
            for parts, by_task in worth.items()
            for task, value in by_task.items()
            for seed in range(more.get(parts, seeds))
        ]
        (made,) = study.studies(exhibits.load("delta-sequence"), runs)
        return made

    return do


def judge(made: Study) -> Finding:
    claim = claims.find("no-order-is-best")
    return claim.with_options(claim.options).find(made, claim.options)


def on(sentiment: float, inference: float) -> dict[str, float]:
    return {"micro/sentiment": sentiment, "micro/inference": inference}


def test_orders_that_win_on_different_tasks_reproduce_the_claim(make: Make) -> None:
    finding = judge(make({FIRST: on(0.9, 0.4), SECOND: on(0.4, 0.9)}))
    assert finding.verdict == "reproduced", finding.sentence
    assert {(row.left, row.right) for row in finding.comparisons} == {
        ("adapter → prompt (micro/inference)", "prompt → adapter"),
        ("prompt → adapter (micro/sentiment)", "adapter → prompt"),
    }


def test_an_order_that_is_above_everywhere_contradicts_it(make: Make) -> None:
    finding = judge(make({FIRST: on(0.9, 0.9), SECOND: on(0.4, 0.4)}))
    assert finding.verdict == "contradicted"
    assert any("prompt → adapter is nowhere below" in note for note in finding.notes)


def test_noise_decides_nothing(make: Make) -> None:
    assert judge(make({FIRST: on(0.6, 0.6), SECOND: on(0.6, 0.6)}, noise=0.05)).verdict == "inconclusive"


def test_the_order_that_is_most_likely_above_stands_for_the_others(make: Make) -> None:
    """Where Holm's adjustment makes every p 1, their own p still tells the pairs apart."""
    parts = ("prompt", "adapter", "bitfit")
    worth = {order: on(0.6, 0.6) for order in permutations(parts)}
    made = make(worth, noise=0.05, seeds=3)
    panel, names = made.judged, orders.orders(made)
    finding = judge(made)
    assert finding.verdict == "inconclusive"
    assert len(finding.comparisons) == len(worth)
    arm_of = {name: arm for arm, name in names.items()}
    for row in finding.comparisons:
        own = arm_of[row.right]
        leads = [
            estimates.difference(panel.at([place]), other, own).main
            for other in names if other != own for place in range(len(panel.tasks))
        ]  # fmt: skip
        surest = max(leads, key=lambda lead: (lead.mean - 0.01) / lead.half())
        assert row.estimate == pytest.approx(surest.mean)
        assert (row.estimate or 0.0) > 0, "some order is above this one somewhere, if only by luck"


@pytest.mark.parametrize(("orders_there", "found"), [(2, True), (4, False)])
def test_an_order_is_the_best_of_many_by_a_smaller_p_alone(
    monkeypatch: pytest.MonkeyPatch, orders_there: int, found: bool
) -> None:
    """Each of several orders could be nowhere below the others by luck."""
    monkeypatch.setattr(open_rates, "cells_of", lambda made: {})
    names = {f"arm {place}": f"order {place}" for place in range(orders_there)}
    lead = np.array([0.005, 0.035, 0.015, 0.035])
    p = stats.ttest_1samp(lead, -0.01).pvalue
    assert 0.05 / 4 < p < 0.05 / 2
    values = np.stack([lead if place == 0 else np.zeros(4) for place in range(orders_there)])[:, None]
    size = np.full(1, np.nan)
    panel = Panel(
        tuple(names), ("task",), tuple(range(4)), values, np.full(values.shape, "", dtype=object), size, size,
        np.zeros(1, dtype=bool),
    )  # fmt: skip
    made: Any = SimpleNamespace(judged=panel, over_looks=None)
    best = orders._never_below(made, names, 0.01)
    assert (best == ["order 0"]) is found


def test_one_order_alone_is_untested(make: Make) -> None:
    assert judge(make({FIRST: on(0.6, 0.6)})).verdict == "untested"


def test_the_figure_tells_the_orders_apart_and_shows_where_a_stage_ends(make: Make) -> None:
    made = make({FIRST: on(0.9, 0.4), SECOND: on(0.4, 0.9)})
    with figure_style.style():
        figure = orders.draw([made])
    lines = [line for axes in figure.axes for line in axes.lines]
    curves = [line for line in lines if line.get_linestyle() == "-"]
    assert len({line.get_color() for line in curves}) == 2
    ends = [line.get_xdata()[0] for line in lines if line.get_linestyle() == ":"]
    assert ends == [100.0, 100.0], "two stages of 200 steps, in both panels"


def test_the_figure_states_the_seeds_of_every_order(make: Make) -> None:
    """After looks, orders differ in their number of seeds."""
    made = make({FIRST: on(0.9, 0.4), SECOND: on(0.4, 0.9)}, seeds=3, more={SECOND: 5})
    with figure_style.style():
        figure = orders.draw([made])
    assert any("n = 3 to 5 seeds" in text.get_text() for text in figure.findobj(Text))


def test_over_looks_every_pair_counts_and_not_the_surest_alone(make: Make) -> None:
    """The surest of many pairs is chosen by its outcome, so Holm's adjustment is over all of them."""
    three = [("prompt", "bitfit"), ("bitfit", "prompt"), ("prompt", "adapter")]
    made = make({parts: on(0.5, 0.5) for parts in three}, noise=0.03, seeds=8)
    exhibit = exhibits.load("delta-sequence")
    tests = judging.tests_at_looks(exhibit, [made])
    assert len(tests) == 3 * 2 * 2, "orders, other orders, tasks"
    assert all(len([test for test in by_look if test]) == 3 for by_look in tests.values()), "after 3, 5 and 8 seeds"
    (finding,) = judging.judge_all(exhibit, [made], over_looks=True)
    assert len(finding.comparisons) == 3
    assert {row.verdict for row in finding.comparisons} == {"inconclusive"}


def test_orders_that_differ_clearly_are_told_apart_at_an_early_look(make: Make) -> None:
    made = make({FIRST: on(0.9, 0.4), SECOND: on(0.4, 0.9)}, seeds=12)
    (finding,) = judging.judge_all(exhibits.load("delta-sequence"), [made], over_looks=True)
    assert finding.verdict == "reproduced", finding.sentence
    assert all(row.look and row.look < 4 for row in finding.comparisons)
