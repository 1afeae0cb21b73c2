"""The gap is train less test of the same cell, and the claim about it is tested on it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.generalisation import gap
from harness.analysis.study import estimates, open_rates, row_errors, selection, statistics, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run
from tasks.metrics import row_figures

Make = Callable[..., Study]


def with_train(run: Run, surplus: float | None) -> Run:
    """Return the run with a score on training rows that lies so much above its test score."""
    if surplus is None:
        return run
    score = run.record["scores"]["best"]["sets"]["test"]["accuracy"] + surplus
    probe = {"status": "done", "sets": {"train_sample": {"accuracy": score, "n": 128}}}
    return replace(run, record={**run.record, "probes": {"train_sample": probe}})


def as_before(run: Run) -> Run:
    """Return the run as it was recorded when a cell still scored the sample of training rows itself."""
    sample = run.record["probes"]["train_sample"]["sets"]
    points = {name: {**point, "sets": {**point["sets"], **sample}} for name, point in run.record["scores"].items()}
    return replace(run, record={**run.record, "probes": {}, "scores": points})


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(surplus: dict[str, float | None], seeds: int = 4) -> Study:
        runs = make_grid(methods=tuple(surplus), seeds=tuple(range(seeds)))
        changed = []
        for run in runs:
            method, seed = run.record["cell"]["method"]["name"], run.record["cell"]["seed"]
            wanted, noise = surplus[method], 0.002 * seed * list(surplus).index(method)
            changed.append(with_train(run, None if wanted is None else wanted + noise))
        (made,) = study.studies(exhibits.load("delta-gap"), changed)
        return made

    return do


def judge(made: Study, **options: Any) -> Finding:
    claim = claims.find("larger-gap")
    given = {**claim.options, "left": "full", "right": {"method": ["lora", "adapter"]}, **options}
    return claim.with_options(given).find(made, given)


def test_the_gap_is_train_less_test_and_its_absolute_value_stands_beside(make: Make) -> None:
    made = make({"full": 0.2, "lora": -0.1})
    shown = gap.table(made)
    by_arm = {row[0].value: dict(zip(shown.columns, row, strict=True)) for row in shown.rows}
    assert list(by_arm) == ["lora", "full"], "the smallest gap comes first"
    assert by_arm["full"]["mean gap"].value == pytest.approx(20.0)
    expected = -10 + 0.2 * float(np.mean(made.clean.seeds))
    assert by_arm["lora"]["mean gap"].value == pytest.approx(expected)
    assert by_arm["lora"]["mean |gap|"].value == pytest.approx(-expected)
    for row in by_arm.values():
        assert row["train"].value - row["test"].value == pytest.approx(row["mean gap"].value)


@pytest.mark.parametrize(
    ("lora", "adapter", "verdict"),
    [(0.05, 0.0, "reproduced"), (0.3, 0.35, "contradicted"), (0.19, 0.19, "inconclusive")],
)
def test_the_claim_is_tested_against_each_method(make: Make, lora: float, adapter: float, verdict: str) -> None:
    finding = judge(make({"full": 0.2, "lora": lora, "adapter": adapter}))
    assert finding.verdict == verdict, finding.sentence
    assert [row.right for row in finding.comparisons] == ["lora", "adapter"]
    assert "full has a larger generalisation gap than each of lora, adapter" in finding.sentence


def test_the_rows_of_both_samples_are_noise_too(make: Make) -> None:
    made = make({"full": 0.2, "lora": 0.1})
    finding = judge(made, right="lora")
    (row,) = finding.comparisons
    means = {arm: made.clean.of(arm).mean(axis=1) for arm in ("full", "lora")}
    gaps = gap.panel(made)
    variance = np.zeros(len(made.clean.tasks))
    for arm, test in means.items():
        train = np.minimum(1.0, test + gaps.of(arm).mean(axis=1))
        variance += statistics.row_variance(test, made.clean.rows) + statistics.row_variance(train, np.float64(128.0))
    error = float(np.sqrt(variance.sum())) / len(made.clean.tasks)
    alone = statistics.over_seeds(gaps.of("full") - gaps.of("lora"))
    assert error > 2 * alone.se
    expected = statistics.with_rows(alone, error)
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high))
    assert (row.seeds_low, row.seeds_high) == pytest.approx((alone.low, alone.high))
    assert not any("seeds alone" in note for note in finding.notes)
    assert any("another sample of training rows" in note for note in finding.notes)


def test_records_without_a_score_on_training_rows_decide_nothing(make: Make) -> None:
    made = make({"full": 0.2, "lora": None})
    finding = judge(made, right="lora")
    assert finding.verdict == "untested"
    row = next(row for row in gap.table(made).rows if row[0].value == "lora")
    assert row[1].value is None or math.isnan(row[1].value)


def test_a_gap_that_is_untested_for_another_reason_does_not_blame_the_sample(make: Make) -> None:
    made = make({"full": 0.2, "lora": 0.1})
    vars(made)["unlearnt"] = made.clean.tasks  # as where the ceiling is at the floor on every task
    (row,) = judge(made, right="lora").comparisons
    assert row.verdict == "untested"
    assert row.reason == estimates.UNLEARNT


def test_records_from_before_the_probe_have_the_same_gap(make_grid: Callable[..., list[Run]]) -> None:
    runs = [with_train(run, 0.1) for run in make_grid(methods=("full", "lora"))]
    exhibit = exhibits.load("delta-gap")
    (now,), (before,) = (study.studies(exhibit, each) for each in (runs, [as_before(run) for run in runs]))
    assert np.nanmean(gap.panel(now).values) == pytest.approx(0.1)
    assert np.array_equal(gap.panel(now).values, gap.panel(before).values)


def test_a_sample_that_both_know_is_read_from_the_probe(make_grid: Callable[..., list[Run]]) -> None:
    runs = [with_train(run, 0.1) for run in make_grid(methods=("full", "lora"))]
    both = [
        replace(
            as_before(with_train(run, 0.3)),
            record={**as_before(with_train(run, 0.3)).record, "probes": run.record["probes"]},
        )
        for run in runs
    ]
    (made,) = study.studies(exhibits.load("delta-gap"), both)
    assert np.allclose(gap.panel(made).values, 0.1)


def test_methods_that_answer_the_training_rows_alike_differ_more_surely(make_grid: Callable[..., list[Run]]) -> None:
    """The rows of the sample are paired, as those of the test set are."""
    draw = np.random.default_rng(0)
    runs, rows = [], {}
    for run in make_grid(methods=("full", "lora"), seeds=(0, 1, 2, 3)):
        cell = run.record["cell"]
        right = rows.setdefault(cell["task"]["name"], draw.random(128) < 0.8)
        figures = [float(value) for value in right]
        figures[cell["seed"]] = float(cell["method"]["name"] == "full")
        sample = {"sets": {"train_sample": {"accuracy": float(np.mean(figures)), "n": 128}}}
        probe = {"status": "done", **sample, "row_scores": row_figures.pack(figures)}
        runs.append(replace(run, record={**run.record, "probes": {"train_sample": probe}}))
    (paired,) = study.studies(exhibits.load("delta-gap"), runs)
    unknown = [
        replace(
            run,
            record={
                **run.record,
                "probes": {"train_sample": {**run.record["probes"]["train_sample"], "row_scores": None}},
            },
        )
        for run in runs
    ]
    (bound,) = study.studies(exhibits.load("delta-gap"), unknown)
    errors = []
    for made in (paired, bound):
        train = selection.panel(made.selected, "train_sample", made.exhibit.methods(), scores=True)
        errors.append(row_errors.of_arms(train, ("full", "lora")))
    assert errors[0] < errors[1] / 3


def test_a_method_that_no_cell_has_leaves_the_claim_untested(make: Make) -> None:
    assert judge(make({"full": 0.2, "lora": 0.1}), right="prefix").verdict == "untested"
