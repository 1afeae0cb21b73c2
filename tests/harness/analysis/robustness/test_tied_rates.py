"""A verdict on what is no score holds at every learning rate that validation cannot tell from the best."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.robustness import tied_rates
from harness.analysis.study import open_rates, study
from harness.analysis.study.more_seeds import looks
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run
from tests.harness import made_runs

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
TUNING = 200
ROWS = 256
STEPS = [0, 100, 200]


def probed(rise: float) -> dict[str, Any]:
    """A loss on pretraining text that rises by so much, and falls by as much where intruders are scaled down."""
    losses = [0.5, 0.5 + rise / 2, 0.5 + rise]
    scaled = {"factors": [1.0, 0.7], "pretraining_loss": [losses[-1], 0.5], "score": [0.9, 0.9 - rise / 100]}
    return {
        "forgetting": {"status": "done", "steps": STEPS, "pretraining_loss": losses, "documents": 8, "others": {}},
        "intruders_down": {"status": "done", **scaled, "intruders": 3, "plain_loss": 0.5, "why_null": {}},
    }


def with_validation(run: Run, score: float) -> Run:
    points = {
        name: {**point, "sets": {**point["sets"], "validation": {"accuracy": score, "n": ROWS}}}
        for name, point in run.record["scores"].items()
    }
    return replace(run, record={**run.record, "scores": points})


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(
        validation: Mapping[str, Mapping[float, float]],
        rises: Mapping[str, Mapping[float, float]],
        tuning: Sequence[int] = (TUNING,),
        noise: float = 0.001,
        draw: random.Random | None = None,
    ) -> Study:
        """Each method's validation score and rise by rate; the rises of the trials are left out where there is none.

        A method with one rate has no trial. noise: of the rises of the reported cells; with `draw`, of all cells.
        """
        runs = []

        def rise(method: str, rate: float, seed: int) -> float:
            usual = noise * seed * (method == "full")
            return rises[method].get(rate, 1.0) + (draw.gauss(0, noise) if draw else usual)

        for method, scores in validation.items():
            best = max(scores, key=lambda rate: (scores[rate], -rate))
            for rate, seed in itertools.product(scores if len(scores) > 1 else (), tuning):
                trial = with_validation(
                    made_runs.run(method, "micro/sentiment", seed, learning_rate=rate), scores[rate]
                )
                found = probed(rise(method, rate, 0)) if rate in rises[method] else {}
                runs.append(replace(trial, record={**trial.record, "probes": found}))
            for seed in range(4):
                reported = made_runs.run(method, "micro/sentiment", seed, learning_rate=best)
                runs.append(replace(reported, record={**reported.record, "probes": probed(rise(method, best, seed))}))
        exhibit = replace(exhibits.load("delta-forgetting"), declared_tuning=frozenset(tuning), floor=None)
        (made,) = study.studies(exhibit, runs)
        return made

    return do


def judge(made: Study, name: str = "forgets-less", **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **(options or {"left": "lora", "right": "full"})}
    return claim.with_options(given).find(made, given)


FLAT = {3e-4: 0.7, 1e-3: 0.87, 3e-3: 0.86, 1e-2: 0.6}
SHARP = {3e-4: 0.8, 1e-3: 0.9, 3e-3: 0.8}
"""In FLAT 3e-3 is within one standard error of the best, .021 on 256 rows; no other rate is, and none in SHARP."""


def test_rates_within_one_standard_error_of_the_best_are_tied(make: Callable[..., Study]) -> None:
    made = make({"lora": FLAT, "full": SHARP}, {"lora": {}, "full": {}})
    assert tied_rates.Trials(made).equally_good("lora", "micro/sentiment") == (1e-3, 3e-3)
    assert tied_rates.Trials(made).equally_good("full", "micro/sentiment") == (1e-3,)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [(0.2, "reproduced"), (3.0, "inconclusive")],
)
def test_a_verdict_holds_at_each_tied_rate(make: Callable[..., Study], other: float, verdict: str) -> None:
    rises = {"lora": {3e-4: 9.0, 1e-3: 0.1, 3e-3: other, 1e-2: 9.0}, "full": dict.fromkeys(RATES, 1.0)}
    finding = judge(make({"lora": FLAT, "full": SHARP}, rises))
    assert finding.verdict == verdict, finding.sentence
    assert (open_rates.TIED in finding.sentence) == (verdict == "inconclusive")
    (note,) = [text for text in finding.notes if "cannot tell" in text]
    assert "lora 1e-3, 3e-3" in note
    assert (
        f"rises by {abs(1.0 - other):.2f} nats per word {'less' if other < 1 else 'more'} with lora than with full"
        in note
    )
    assert "rises by 0.90 nats per word less with lora than with full" in note


@pytest.mark.parametrize(
    ("name", "other", "verdict"),
    [
        ("intruders-hold-forgetting", 2.0, "reproduced"),
        ("intruders-hold-forgetting", -2.0, "inconclusive"),
        ("intruders-hold-little-score", 1.0, "reproduced"),
        ("intruders-hold-little-score", 40.0, "inconclusive"),
    ],
)
def test_what_scaled_intruders_do_holds_at_each_tied_rate(
    make: Callable[..., Study], name: str, other: float, verdict: str
) -> None:
    """One arm is judged by itself, on its loss and "at least" on its score."""
    rises = {"lora": {3e-4: -9.0, 1e-3: 1.0, 3e-3: other, 1e-2: -9.0}, "full": {1e-3: 1.0}}
    made = make({"lora": FLAT, "full": {1e-3: 0.9}}, rises, noise=0.01, draw=random.Random(0))
    finding = judge(made, name, method="lora", factor=0.7)
    assert finding.verdict == verdict, finding.sentence
    assert (open_rates.TIED in finding.sentence) == (verdict == "inconclusive")
    (note,) = [text for text in finding.notes if "cannot tell" in text]
    assert "lora 1e-3, 3e-3" in note


def test_one_best_rate_leaves_the_verdict_as_it_is(make: Callable[..., Study]) -> None:
    rises = {"lora": {3e-4: 9.0, 1e-3: 0.1, 3e-3: 9.0}, "full": dict.fromkeys(RATES, 1.0)}
    finding = judge(make({"lora": SHARP, "full": SHARP}, rises))
    assert finding.verdict == "reproduced", finding.sentence
    assert not any("cannot tell" in note for note in finding.notes)


def test_trials_that_no_probe_has_looked_at_are_named(make: Callable[..., Study]) -> None:
    finding = judge(make({"lora": FLAT, "full": FLAT}, {"lora": {}, "full": {}}))
    (note,) = [text for text in finding.notes if "cannot tell" in text]
    assert note.endswith("some of these rates were not measured")


def test_tied_rates_count_in_later_looks_too(make: Callable[..., Study]) -> None:
    """A verdict over several looks is made from a comparison's own test, which must not know it better."""
    rises = {"lora": {1e-3: 0.1, 3e-3: 3.0}, "full": dict.fromkeys(RATES, 1.0)}
    (row,) = judge(make({"lora": FLAT, "full": SHARP}, rises)).comparisons
    assert row.test is not None
    assert (row.test.verdict, row.test.p) == ("inconclusive", 1.0)


def test_a_rate_that_nobody_measured_hides_no_other(make: Callable[..., Study]) -> None:
    flat = {**FLAT, 3e-4: 0.86}
    rises = {"lora": {1e-3: 0.1, 3e-3: 3.0}, "full": dict.fromkeys(RATES, 1.0)}
    finding = judge(make({"lora": flat, "full": SHARP}, rises))
    assert finding.verdict == "inconclusive", finding.sentence
    (note,) = [text for text in finding.notes if "cannot tell" in text]
    assert note.endswith("some of these rates were not measured")


def test_a_side_with_one_rate_stands_with_its_reported_cells(make: Callable[..., Study]) -> None:
    rises = {"lora": {3e-4: 9.0, 1e-3: 0.1, 3e-3: 3.0, 1e-2: 9.0}, "full": {1e-3: 1.0}}
    finding = judge(make({"lora": FLAT, "full": {1e-3: 0.9}}, rises))
    assert finding.verdict == "inconclusive", finding.sentence
    assert not any("not measured" in note for note in finding.notes)


def test_tuning_seeds_share_the_validation_rows(make: Callable[..., Study]) -> None:
    near = {3e-4: 0.7, 1e-3: 0.870, 3e-3: 0.853}
    for tuning in ((200,), (200, 201)):
        made = make({"lora": near, "full": SHARP}, {"lora": {}, "full": {}}, tuning)
        assert tied_rates.Trials(made).equally_good("lora", "micro/sentiment") == (1e-3, 3e-3)


def test_one_row_of_a_perfect_validation_is_a_tie(make: Callable[..., Study]) -> None:
    made = make({"lora": {3e-4: 0.9, 1e-3: 1.0, 3e-3: 255 / 256}, "full": SHARP}, {"lora": {}, "full": {}})
    assert tied_rates.Trials(made).equally_good("lora", "micro/sentiment") == (1e-3, 3e-3)


@pytest.mark.parametrize("several", [("lora",), ("lora", "full")])
def test_noise_of_seeds_withdraws_few_verdicts(make: Callable[..., Study], several: tuple[str, ...]) -> None:
    """The rates make no difference here; every verdict that is withdrawn is withdrawn in error."""
    flat = {3e-4: 0.7, 1e-3: 0.87, 3e-3: 0.87, 1e-2: 0.87, 3e-2: 0.7}
    same = {"lora": dict.fromkeys(flat, 0.0), "full": dict.fromkeys(flat, 3.0)}
    withdrawn, decided, draw = 0, 0, random.Random(0)
    for _ in range(24):
        scores = {method: flat if method in several else SHARP for method in ("lora", "full")}
        (row,) = judge(make(scores, same, noise=0.7, draw=draw)).comparisons
        withdrawn += row.reason == open_rates.TIED
        decided += row.verdict == "reproduced"
    assert decided > 12
    assert withdrawn <= 3, "5 % of 24, and two standard errors"


@pytest.mark.parametrize("several", [("lora",), ("lora", "full")])
def test_a_rate_on_the_other_side_withdraws_most_verdicts(make: Callable[..., Study], several: tuple[str, ...]) -> None:
    """At one of three tied rates LoRA forgets more, by four times the spread of the seeds."""
    flat = {3e-4: 0.7, 1e-3: 0.87, 3e-3: 0.87, 1e-2: 0.87, 3e-2: 0.7}
    rises = {"lora": {**dict.fromkeys(flat, 0.0), 1e-2: 5.8}, "full": dict.fromkeys(flat, 3.0)}
    withdrawn, decided, draw = 0, 0, random.Random(0)
    for _ in range(24):
        scores = {method: flat if method in several else SHARP for method in ("lora", "full")}
        (row,) = judge(make(scores, rises, noise=0.7, draw=draw)).comparisons
        withdrawn += row.reason == open_rates.TIED
        decided += row.verdict == "reproduced"
    assert withdrawn > 2 * decided


def test_the_largest_of_normal_numbers_has_this_mean() -> None:
    draws = np.random.default_rng(0).standard_normal((20_000, 16))
    for count in (1, 2, 9, 16):
        assert tied_rates.largest_of(count) == pytest.approx(draws[:, :count].max(axis=1).mean(), abs=0.04)


def test_no_seed_is_asked_for_where_rates_are_tied(make: Callable[..., Study]) -> None:
    rises = {"lora": {1e-3: 0.1, 3e-3: 3.0}, "full": dict.fromkeys(RATES, 1.0)}
    finding = judge(make({"lora": FLAT, "full": SHARP}, rises))
    (row,) = finding.comparisons
    assert not looks.wants_seeds(row)
    assert "`task.validation_size=`" in finding.sentence
