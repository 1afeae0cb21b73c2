"""Shares of the variance on scores whose truth is known."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.scaling import structure
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
SIZES = (1_000, 10_000, 100_000)


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(worth: Callable[[str, int], float], methods: tuple[str, ...] = ("lora", "adapter", "prefix")) -> Study:
        runs = []
        for method in methods:
            for place, size in enumerate(SIZES):
                for seed in range(5):
                    quality: Mapping[str, float] = {method: worth(method, place)}
                    run = make_run(method, "micro/sentiment", seed, fields={"rank": size}, quality=quality, noise=0.01)
                    parameters = {"delta": size, "head": 0, "backbone": 1_000_000}
                    runs.append(replace(run, record={**run.record, "parameters": parameters}))
        (made,) = study.studies(exhibits.load("delta-efficiency"), runs)
        return made

    return do


def judge(made: Study) -> Finding:
    claim = claims.find("structure-explains-more")
    return claim.with_options(claim.options).find(made, claim.options)


def test_scores_that_follow_the_method_are_explained_by_it(make: Make) -> None:
    made = make(lambda method, place: {"lora": 0.9, "adapter": 0.5, "prefix": 0.2}[method])
    finding = judge(made)
    assert finding.verdict == "reproduced", finding.sentence
    shown: dict[str, Any] = {row[0].text: row[1].value for row in structure.table(made).rows}
    assert shown[structure.STRUCTURE] > 90
    assert abs(shown[structure.PARAMETERS]) < 25
    assert "logarithm of the parameters explains " in finding.sentence
    assert " points more." in finding.sentence


def test_scores_that_follow_the_size_contradict_it(make: Make) -> None:
    assert judge(make(lambda method, place: 0.2 + 0.35 * place)).verdict == "contradicted"


def test_one_method_cannot_be_compared_with_others(make: Make) -> None:
    assert judge(make(lambda method, place: 0.5, methods=("lora",))).verdict == "untested"


def test_the_shares_are_those_of_a_second_computation() -> None:
    rng = np.random.default_rng(0)
    scores, sizes = rng.normal(size=8), rng.normal(size=8)
    methods = list("aabbccdd")
    mine = structure.explained(scores, methods, sizes)
    assert mine is not None
    design = np.array([[name == kind for kind in "abcd"] for name in methods], dtype=float)
    line = np.stack([np.ones(8), sizes], axis=1)
    for share, columns in zip(mine, (design, line), strict=True):
        left = scores - columns @ np.linalg.lstsq(columns, scores, rcond=None)[0]
        wanted = 1 - (left @ left / (8 - columns.shape[1])) / scores.var(ddof=1)
        assert share == pytest.approx(wanted)


def test_equal_scores_have_no_variance_to_explain() -> None:
    assert structure.explained(np.full(4, 0.5), list("aabb"), np.arange(4.0)) is None
