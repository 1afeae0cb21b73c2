"""A method is dominated where another costs no more in anything and scores at least as high."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.analysis.tradeoffs import dominance, pareto
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
MIB = 2**20
COSTS = {"full": (10 * MIB, 500, 800), "lora": (7 * MIB, 300, 100), "adapter": (8 * MIB, 350, 200)}


def with_costs(run: Run, peak: float | None, operations: float, delta: int) -> Run:
    """Return the run with other costs."""
    memory = {"train": {"live_bytes": peak}}
    parameters = {**run.record["parameters"], "delta": delta}
    record = {**run.record, "memory": memory, "flops": {"step": operations}, "parameters": parameters}
    return replace(run, record=record)


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(costs: dict[str, Any] = COSTS, **quality: float) -> Study:
        runs = make_grid(methods=tuple(costs), seeds=(0, 1, 2, 3), quality=quality, noise=0.004)
        changed = [with_costs(run, *costs[run.record["cell"]["method"]["name"]]) for run in runs]
        (made,) = study.studies(exhibits.load("pareto"), changed)
        return made

    return do


def judge(made: Study, left: Any = "lora") -> Finding:
    claim = claims.find("dominates")
    given = {**claim.options, "left": left, "right": "full"}
    return claim.with_options(given).find(made, given)


def test_costs_are_those_of_the_records(make: Make) -> None:
    known = dominance.costs(make(full=1.0, lora=0.9, adapter=0.5))
    assert known["lora"] == dominance.Cost(7 * MIB, 300, 400)
    assert dominance.dearer_in(known["full"], known["lora"]) == ["peak", "operations", "stored"]


def test_who_scores_less_and_costs_more_is_dominated(make: Make) -> None:
    made = make(full=1.0, lora=0.9, adapter=0.5)
    known = dominance.costs(made)
    assert dominance.dominators(made, "adapter", known) == [("lora", True)]
    assert dominance.dominators(made, "lora", known) == []
    assert dominance.dominators(made, "full", known) == [], "it scores best"
    shown = pareto.table(made)
    dominated = {row[0].value: row[-1].text for row in shown.rows}
    assert dominated == {"full": "—", "lora": "—", "adapter": "lora"}


def test_a_difference_that_is_not_sure_stands_in_brackets(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_rates, "tuned", lambda content: False)
    made = make(full=1.0, lora=0.9, adapter=0.5)
    assert dominance.dominators(made, "adapter", dominance.costs(made)) == [("lora", False)]


@pytest.mark.parametrize(("lora", "verdict"), [(1.0, "reproduced"), (0.7, "contradicted")])
def test_the_claim_asks_for_the_score_where_costs_allow(make: Make, lora: float, verdict: str) -> None:
    finding = judge(make(full=0.95 if lora == 1.0 else 1.0, lora=lora, adapter=0.5))
    assert finding.verdict == verdict, finding.sentence


def test_a_higher_cost_contradicts_whatever_the_score(make: Make) -> None:
    dear = {**COSTS, "lora": (7 * MIB, 900, 100)}
    finding = judge(make(dear, full=0.8, lora=1.0, adapter=0.5))
    assert finding.verdict == "contradicted"
    assert "it costs more: operations" in finding.comparisons[0].reason


def test_unknown_costs_are_left_out_and_equal_ones_are_no_reason(make: Make) -> None:
    unknown = dominance.Cost(float("nan"), 300, 400)
    assert dominance.no_dearer(unknown, dominance.Cost(1.0, 300, 400))
    assert not dominance.no_dearer(dominance.Cost(float("nan"), float("nan"), float("nan")), unknown)
    made = make({"full": COSTS["full"], "lora": (None, 300, 100)}, full=1.0, lora=0.9)
    assert pareto.table(made).rows[1][2].text == "—"


def test_the_frontier_has_the_best_score_at_each_cost() -> None:
    points = {"a": (1.0, 50.0), "b": (2.0, 40.0), "c": (3.0, 70.0), "d": (3.0, 60.0)}
    assert pareto.frontier(points) == [(1.0, 50.0), (3.0, 70.0)]
    assert pareto.frontier({}) == []


def test_the_figure_is_drawn(make: Make) -> None:
    figure = pareto.figure([make(full=1.0, lora=0.9, adapter=0.5)])
    assert len(figure.axes) == len(pareto.AXES)
