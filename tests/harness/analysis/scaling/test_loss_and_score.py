"""Rank correlations of loss and score whose truth is known, over methods and models."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.analysis.output import figure_style
from harness.analysis.scaling import joint, loss_and_score
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

METHODS = ("full", "lora", "adapter", "prefix", "prompt")
Loss = Callable[[float, int], float | None]
Make = Callable[[Loss], list[Study]]


@pytest.fixture
def make(make_grid: Callable[..., list[Run]]) -> Make:
    def do(loss: Loss) -> list[Study]:
        runs = make_grid(methods=METHODS, seeds=range(4), models=("micro-llama-nano", "micro-llama-micro"))
        changed = [
            replace(run, curve=tuple({**point, "validation_loss": loss(_best(run), n)} for point in run.curve))
            for n, run in enumerate(runs)
        ]
        return study.studies(exhibits.load("astraios"), changed)

    return do


def _best(run: Run) -> float:
    score: float = run.record["scores"]["best"]["sets"]["test"]["accuracy"]
    return score


def judge(made: list[Study]) -> Finding:
    claim = claims.find("validation-loss-predicts")
    return claim.with_options(claim.options).find(joint.of(made), claim.options)


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [
        (lambda score, n: 2 - score + 0.04 * (n % 7), "reproduced"),
        (lambda score, n: score + 0.04 * (n % 7), "contradicted"),
        (lambda score, n: None, "untested"),
    ],
)
def test_a_loss_that_predicts_is_told_from_one_that_does_not(make: Make, loss: Loss, verdict: str) -> None:
    finding = judge(make(loss))
    assert finding.verdict == verdict, finding.sentence


def test_the_table_has_each_model_and_all_together_and_the_figure_every_task(make: Make) -> None:
    made = make(lambda score, n: 2 - score)
    shown = loss_and_score.table(made)
    assert [row[0].text for row in shown.rows] == ["micro-llama-nano", "micro-llama-micro", joint.MODEL]
    assert [row[1].text for row in shown.rows] == ["5", "5", "10"]
    assert [row[-1].value for row in shown.rows] == pytest.approx([1.0] * 3)
    with figure_style.style():
        figure = loss_and_score.draw(made)
    assert sum(axes.get_title() != "" for axes in figure.axes) == 3
