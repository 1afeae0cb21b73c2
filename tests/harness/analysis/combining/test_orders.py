"""Orders of methods on records whose truth is known: the claim both ways, and the stages in the figure."""

from collections.abc import Callable, Mapping

import pytest

from harness.analysis.combining import orders
from harness.analysis.output import figure_style
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

FIRST, SECOND = ("prompt", "adapter"), ("adapter", "prompt")
Make = Callable[..., Study]


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(worth: Mapping[tuple[str, str], Mapping[str, float]], noise: float = 0.004, seeds: int = 6) -> Study:
        runs = [
            make_run("sequence", task, seed, fields={"parts": list(parts)}, quality={"sequence": value}, noise=noise)
            for parts, by_task in worth.items()
            for task, value in by_task.items()
            for seed in range(seeds)
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
