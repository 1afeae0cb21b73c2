"""The claims about best rates end as the made-up losses say, and the table and the figure show them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.figures import best_rates_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.tuning import best_rates, losses, optimum
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
RATES = tuple(2.5e-4 * 2**place for place in range(8))


def with_losses(run: Run, at: float, noise: float) -> Run:
    """Return the run with validation losses that are lowest at the rate 10**at and fall with the steps."""
    cell = run.record["cell"]
    away = math.log10(cell["recipe"]["learning_rate"]) - at - noise * (cell["seed"] - 1)
    points = tuple(
        {**point, "validation_loss": 0.2 * math.exp(0.8 * away**2 + 10 / (10 + point["step"])), "train_loss": 0.1}
        for point in run.curve
    )
    return replace(run, curve=points)


@pytest.fixture
def make(make_run: Callable[..., Run]) -> Make:
    def do(best: dict[Any, float], noise: float = 0.05, seeds: int = 4) -> Study:
        """Return one study. best: (method, rank), or a method, -> log10 of its best rate; noise: of each next arm's."""
        runs = []
        for place, (arm, at) in enumerate(best.items()):
            method, fields = (arm[0], {"rank": arm[1]}) if isinstance(arm, tuple) else (arm, None)
            for rate in RATES:
                cells = [make_run(method, "micro/qa", n, learning_rate=rate, fields=fields) for n in range(seeds)]
                runs += [with_losses(cell, at, noise * place) for cell in cells]
        (made,) = study.studies(exhibits.load("regret-rate"), runs)
        return made

    return do


def judge(made: Study, name: str = "ratio-of-best-rates", **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


BOTH = {"left": "lora", "right": "full"}


@pytest.mark.parametrize(("gap", "verdict"), [(1.0, "reproduced"), (0.3, "contradicted"), (1.5, "contradicted")])
def test_the_ratio_is_tested_on_both_sides_of_the_printed_one(make: Make, gap: float, verdict: str) -> None:
    finding = judge(make({"full": -3.3, "lora": -3.3 + gap}), **BOTH, ratio=10)
    assert finding.verdict == verdict, finding.sentence
    (row,) = finding.comparisons
    assert row.estimate == pytest.approx(gap - 1, abs=0.1)


def test_a_ratio_within_the_noise_is_inconclusive_and_no_rate_is_blamed(make: Make) -> None:
    finding = judge(make({"full": -3.0, "lora": -2.25}, noise=0.3, seeds=3), **BOTH, ratio=10)
    assert finding.verdict == "inconclusive", finding.sentence
    assert "only one learning rate" not in finding.sentence


def test_a_best_rate_at_the_end_makes_the_ratio_inconclusive_and_says_so(make: Make) -> None:
    finding = judge(make({"full": -4.5, "lora": -2.5}), **BOTH, ratio=10)
    assert finding.verdict == "inconclusive"
    assert optimum.EDGE in finding.sentence


def test_a_step_that_no_cell_has_and_a_method_that_is_absent_are_untested(make: Make) -> None:
    made = make({"full": -3.0, "lora": -2.0})
    assert judge(made, **BOTH, ratio=10, steps=7).verdict == "untested"
    assert judge(made, left="adapter", right="full", ratio=10).verdict == "untested"


@pytest.mark.parametrize(("far", "verdict"), [(-2.6, "reproduced"), (-1.9, "contradicted")])
def test_best_rates_are_alike_where_every_pair_is(make: Make, far: float, verdict: str) -> None:
    made = make({("lora", 1): -2.6, ("lora", 4): -2.65, ("lora", 16): far})
    finding = judge(made, "best-rates-alike", method="lora")
    assert finding.verdict == verdict, finding.sentence
    assert len(finding.comparisons) == 3


def test_a_rate_at_which_a_seed_diverged_is_left_out(make: Make, make_run: Callable[..., Run]) -> None:
    made = make({"full": -2.6})
    failed = make_run("full", "micro/qa", 9, learning_rate=RATES[-1], status="diverged")
    (other,) = study.studies(made.exhibit, [make_run("full", "micro/qa", 0), failed])
    step = losses.steps(made)[-1]
    assert len(losses.grid(made, "full", step).rates) == 8
    assert len(losses.grid(replace(made, failures=other.failures), "full", step).rates) == 7


def test_several_tasks_have_rows_of_their_own_beside_that_of_all(make_run: Callable[..., Run]) -> None:
    best = {("full", "micro/qa"): -3.0, ("full", "micro/sentiment"): -2.8, ("lora", "micro/qa"): -2.0}
    runs = [
        with_losses(make_run(method, task, seed, learning_rate=rate), best.get((method, task), -2.4), 0.02)
        for method in ("full", "lora") for task in ("micro/qa", "micro/sentiment")
        for rate in RATES for seed in range(3)
    ]  # fmt: skip
    (made,) = study.studies(exhibits.load("regret-rate"), runs)
    shown = best_rates.table(made)
    last = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows if row[2].value == 200]
    assert [row["task"].text for row in last] == ["all", "micro/qa", "micro/sentiment"] * 2
    found = [math.log10(row["best rate"].value or 1) for row in last]
    assert found == pytest.approx([-2.9, -3.0, -2.8, -2.2, -2.0, -2.4], abs=0.06)
    ratios = [row["over full"].value for row in last[3:]]
    assert ratios == pytest.approx([10**0.7, 10, 10**0.4], rel=0.2)
    assert any("which the claims are about" in note for note in shown.notes)


def test_the_table_has_the_rate_and_its_ratio_and_the_figure_is_drawn(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make({"full": -3.0, "lora": -2.0})
    shown = best_rates.table(made)
    last = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows if row[1].value == 200]
    assert [row["method"].value for row in last] == ["full", "lora"]
    assert last[0]["best rate"].value == pytest.approx(1e-3, rel=0.2)
    assert last[1]["over full"].value == pytest.approx(10, rel=0.3)
    rate = last[1]["best rate"]
    assert isinstance(rate.value, float)
    assert (rate.low or 0) < rate.value < (rate.high or 0)
    monkeypatch.setattr(best_rates_figure, "FOOT", 0.0)  # no room below the losses of the first panel
    with figure_style.style():
        figure = best_rates_figure.draw([made])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["micro-t5-nano, 25 steps", "micro-t5-nano, 200 steps"]
    for axes in figure.axes:  # they share their limits, and the later one's losses are lower
        low, high = axes.get_ylim()
        drawn = [line for line in axes.lines if line.get_transform() == axes.transData]
        assert drawn
        assert all(low < value < high for line in drawn for value in line.get_ydata())
        assert len(axes.get_yticks()) >= 2
