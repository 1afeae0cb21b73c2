"""Losses at chosen rates are compared as the made-up losses say: layers, batches and lines over steps."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.figures import loss_lines_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.tuning import batch_cost, loss_differences, loss_lines, losses
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Comparison, Finding
from harness.store.archive import Run

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
BEST = 4e-3
MakeRun = Callable[..., Run]


def with_losses(run: Run, loss: float, batch: int = 32) -> Run:
    """Return the run with losses that are `loss` at the best rate after all steps, and with a size of its batch."""
    cell = run.record["cell"]
    away = math.log10(cell["recipe"]["learning_rate"] / BEST)
    level = loss * math.exp(away**2 + 0.01 * math.sin(7 * cell["seed"] + 13 * loss))
    points = tuple(
        {**point, "validation_loss": level * (1 + 10 / (1 + point["step"])), "train_loss": level} for point in run.curve
    )
    recipe = {**cell["recipe"], "batch_size": batch}
    key = f"{run.record['key']}{batch}{loss}"
    return replace(run, curve=points, record={**run.record, "key": key, "cell": {**cell, "recipe": recipe}})


def arm(make_run: MakeRun, method: str, fields: Any, loss: float, batch: int = 32, tuning: bool = True) -> list[Run]:
    """Return the cells of one arm: all rates on a tuning seed and the best one on others, or all rates on all seeds."""
    near: dict[str, Any] = {"fields": fields, "best_rate": BEST, "noise": 0.001}
    places = [(rate, 200) for rate in RATES] + [(BEST, seed) for seed in range(4)]
    places = places if tuning else [(rate, seed) for rate in RATES for seed in (300, 301, 302, 303)]
    runs = [make_run(method, "micro/qa", seed, learning_rate=rate, **near) for rate, seed in places]
    return [with_losses(run, loss, batch) for run in runs]


def one(exhibit: str, runs: list[Run]) -> Study:
    (made,) = study.studies(exhibits.load(exhibit), runs)
    return made


def judge(made: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


@pytest.fixture
def layers(make_run: MakeRun) -> Study:
    targets = {("q", "v"): 0.3, ("ffn-in",): 0.201, ("q", "v", "ffn-in"): 0.2}
    runs = [run for names, loss in targets.items() for run in arm(make_run, "lora", {"targets": list(names)}, loss)]
    return one("regret-layers", runs)


def test_a_higher_loss_is_found_and_equal_ones_are_alike(layers: Study) -> None:
    attention, forward, both = (
        {"method": "lora", "targets": names} for names in (["q", "v"], ["ffn-in"], ["q", "v", "ffn-in"])
    )
    assert judge(layers, "higher-loss", left=attention, right=both).verdict == "reproduced"
    assert judge(layers, "higher-loss", left=both, right=attention).verdict == "contradicted"
    assert judge(layers, "similar-loss", left=forward, right=both).verdict == "reproduced"
    finding = judge(layers, "similar-loss", left=attention, right=both)
    assert finding.verdict == "contradicted"
    assert "50 %" in finding.sentence or "49 %" in finding.sentence or "51 %" in finding.sentence
    assert judge(layers, "higher-loss", left="adapter", right=both).verdict == "untested"
    assert [row[3].value for row in loss_differences.table(layers).rows] == pytest.approx([0.2, 0.3, 0.2], rel=0.1)


def test_a_rate_at_the_edge_leaves_the_loss_undecided(make_run: MakeRun) -> None:
    runs = arm(make_run, "lora", {"rank": 1}, 0.3) + arm(make_run, "lora", {"rank": 8}, 0.2)
    kept = [run for run in runs if run.record["cell"]["recipe"]["learning_rate"] <= BEST]
    made = one("regret-layers", kept)
    finding = judge(made, "higher-loss", left={"method": "lora", "rank": 1}, right={"method": "lora", "rank": 8})
    assert finding.verdict == "inconclusive"
    assert "edge" in finding.sentence


@pytest.mark.parametrize(("large", "verdict"), [(0.4, "reproduced"), (0.22, "contradicted")])
def test_the_cost_of_large_batches_is_a_difference_of_differences(
    make_run: MakeRun, large: float, verdict: str
) -> None:
    runs = []
    for method, fields, ends in (("full", None, (0.2, 0.24)), ("lora", {"rank": 2}, (0.2, large))):
        for batch, loss in zip((16, 128), ends, strict=True):
            runs += arm(make_run, method, fields, loss, batch)
    made = one("regret-batch", runs)
    finding = judge(made, "pays-more-for-large-batches", left="lora", right="full")
    assert finding.verdict == verdict, finding.sentence
    shown = batch_cost.table(made)
    assert [row[0].text for row in shown.rows] == ["full", "lora"]
    assert shown.rows[0][-1].value == pytest.approx(1.2, rel=0.03)
    with figure_style.style():
        assert len(loss_lines_figure.sizes([made]).axes) == 1


@pytest.mark.parametrize(("small", "verdict"), [(0.4, "reproduced"), (0.2, "contradicted")])
def test_a_small_rank_leaves_the_line_where_its_training_loss_ends_higher(
    make_run: MakeRun, small: float, verdict: str
) -> None:
    runs = arm(make_run, "lora", {"rank": 1}, small, tuning=False)
    made = one("regret-rank", runs + arm(make_run, "lora", {"rank": 64}, 0.21, tuning=False))
    sides = {"left": {"method": "lora", "rank": [1, 4]}, "right": {"method": "lora", "rank": [64, 512]}}
    finding = judge(made, "leaves-the-common-line", **sides)
    assert finding.verdict == verdict, finding.sentence
    lines = loss_lines.lines(made, "lora rank=1")
    assert lines is not None
    assert set(lines.rates) == {BEST}
    assert loss_lines.table(made).rows[0][2].value == pytest.approx(small, rel=0.05)
    with figure_style.style():
        assert len(loss_lines_figure.steps([made]).axes) == 1


def test_each_seed_has_the_rate_that_the_others_choose(make_run: MakeRun) -> None:
    runs = []
    for run in arm(make_run, "lora", {"rank": 1}, 0.3, tuning=False):
        cell = run.record["cell"]
        lucky = cell["seed"] == 300 and cell["recipe"]["learning_rate"] == RATES[1]
        factor = 0.2 if lucky else 1.0
        points = tuple({**point, "validation_loss": factor * point["validation_loss"]} for point in run.curve)
        runs.append(replace(run, curve=points))
    made = one("regret-rank", runs + arm(make_run, "lora", {"rank": 64}, 0.2, tuning=False))
    lines = loss_lines.lines(made, "lora rank=1")
    assert lines is not None
    assert lines.rates[lines.seeds.index(300)] == BEST, "its own lucky loss chose nothing"
    assert lines.rates[lines.seeds.index(301)] == RATES[1]


@pytest.mark.parametrize(
    ("percent", "words"), [((1, -9, 11), "1 % [-9, 11] above"), ((-6, -18, 8), "6 % [-8, 18] below")]
)
def test_an_interval_lies_on_the_side_that_the_sentence_names(percent: tuple[int, ...], words: str) -> None:
    ends = [math.log(1 + number / 100) for number in percent]
    assert words in loss_differences.describe("above")(Comparison("a", "b", "above", "inconclusive", *ends))


def test_a_seed_that_lacks_a_task_at_a_rate_is_left_out(make_run: MakeRun) -> None:
    """The losses of one task are no mean over two."""
    runs = [
        with_losses(make_run("lora", task, seed, learning_rate=rate, best_rate=BEST), loss)
        for task, loss in (("micro/qa", 0.2), ("micro/sentiment", 2.0))
        for rate in RATES
        for seed in (300, 301, 302)
    ]
    whole = losses.grid(one("regret-rate", runs), "lora", 200)
    partial = [
        run
        for run in runs
        if (
            run.record["cell"]["task"]["name"],
            run.record["cell"]["recipe"]["learning_rate"],
            run.record["cell"]["seed"],
        )
        != ("micro/sentiment", RATES[0], 301)
    ]
    rest = losses.grid(one("regret-rate", partial), "lora", 200)
    assert (whole.seeds, rest.seeds) == ((300, 301, 302), (300, 302))
    assert np.array_equal(rest.values, whole.values[:, [0, 2]])
