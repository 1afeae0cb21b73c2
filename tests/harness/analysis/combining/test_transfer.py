"""Ratios of transfer on records whose truth is known: the matrix, its gaps, both claims both ways."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.analysis.combining import transfer_figure, transfer_matrix
from harness.analysis.output import figure_style
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store import identity
from harness.store.archive import Run

KINDS = {
    "micro/sentiment": "sentiment",
    "micro/sentiment-goods": "sentiment",
    "micro/qa": "question answering",
    "micro/qa-choice": "question answering",
}
OWN, WITHIN, ACROSS = 0.8, 0.7, 0.5
Scores = Callable[[str, str], float | None]
Make = Callable[..., Study]


def scored(run: Run, task: str, score: float, method: dict[str, Any], parent: str | None, seed: int) -> Run:
    """Return the run as a cell of the schema, with this score on the test set; its key is that of its content."""
    cell = {
        "method": method, "model": {"name": "m", "family": "t5"}, "task": {"name": task}, "objective": "seq2seq",
        "recipe": {"learning_rate": 1e-3}, "seed": seed, "parents": [["source", parent]] if parent else [],
    }  # fmt: skip
    key = identity.key(identity.from_json(cell))
    sets = {name: {"accuracy": score, "n": 500} for name in ("test", "validation")}
    facts = {**run.record["task_facts"], "category": KINDS[task], "chance": 0.25, "majority": 0.25}
    points = {name: {"step": 0, "sets": sets} for name in ("best", "last")}
    content = {"key": key, "cell": cell, "scores": points, "task_facts": facts}
    return replace(run, record={**run.record, **content}, curve=())


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(scores: Scores, further: Sequence[Run] = ()) -> Study:
        runs = list(further)
        for seed in range(4):
            plain, keys = make_run("lora", "micro/sentiment", seed), {}
            for task in KINDS:
                own = scored(plain, task, OWN, {"name": "lora", "rank": 8}, None, seed)
                keys[task] = own.record["key"]
                runs.append(own)
            for source in KINDS:
                for target in KINDS:
                    score = OWN if source == target else scores(source, target)
                    shift = 0.002 * seed * (1 + (KINDS[source] == KINDS[target]))
                    if score is not None:
                        runs.append(scored(plain, target, score + shift, {"name": "reuse"}, keys[source], seed))
        (made,) = study.studies(exhibits.load("delta-transfer"), runs)
        return made

    return do


def by_kind(source: str, target: str) -> float:
    return WITHIN if KINDS[source] == KINDS[target] else ACROSS


def judge(made: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


def test_a_ratio_is_the_score_over_that_of_the_targets_own_delta(make: Make) -> None:
    matrix = transfer_matrix.read(make(by_kind))
    assert matrix.tasks == tuple(KINDS)
    assert matrix.arms == ("lora",)
    means = matrix.ratios[0].mean(axis=-1)
    assert means[0, 1] == pytest.approx((WITHIN + 0.006) / OWN)
    assert means[0, 2] == pytest.approx((ACROSS + 0.003) / OWN)
    assert matrix.guess(0, 0) == pytest.approx(0.25 / OWN)


def test_the_table_has_a_row_for_each_source_and_one_for_guessing(make: Make) -> None:
    shown = transfer_matrix.table(make(by_kind))
    assert [row[1].text for row in shown.rows] == [*KINDS, transfer_matrix.OWN, transfer_matrix.GUESSING]
    assert shown.rows[0][3].text.startswith("88")
    assert shown.rows[-1][2].text == "31"


@pytest.mark.parametrize(("swap", "verdict"), [(False, "reproduced"), (True, "contradicted")])
def test_within_a_category_is_told_from_across(make: Make, swap: bool, verdict: str) -> None:
    worth = {True: WITHIN, False: ACROSS}
    made = make(lambda source, target: worth[(KINDS[source] == KINDS[target]) != swap])
    finding = judge(made, "transfers-within-category")
    assert finding.verdict == verdict, finding.sentence


def test_a_target_that_nothing_transfers_to_says_nothing_about_categories(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies across from every source, so a mean over pairs would take it for a difference between categories."""
    monkeypatch.setitem(KINDS, "micro/qa-choice", "alone")
    made = make(lambda source, target: 0.1 if KINDS[target] in ("alone", "question answering") else WITHIN)
    finding = judge(made, "transfers-within-category")
    assert finding.verdict == "contradicted", finding.sentence
    (row,) = finding.comparisons
    assert row.estimate == pytest.approx(0.003 / OWN, abs=1e-6), "only the two targets of sentiment have both"


def test_a_delta_that_learnt_nothing_transfers_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "OWN", 0.26)
    made = make(lambda source, target: 0.26)
    for name in ("transfers-within-category", "transfers-to-category"):
        finding = judge(
            made, name, **({"sources": ["question answering"], "target": "sentiment"} if "to" in name else {})
        )
        assert finding.verdict == "untested", finding.sentence
        assert "above guessing on too few" in finding.comparisons[0].reason


@pytest.mark.parametrize(("score", "verdict"), [(0.7, "reproduced"), (0.2, "contradicted")])
def test_some_categories_transfer_to_another_where_they_are_better_than_guessing(
    make: Make, score: float, verdict: str
) -> None:
    made = make(lambda source, target: score)
    finding = judge(made, "transfers-to-category", sources=["question answering"], target="sentiment")
    assert finding.verdict == verdict, finding.sentence
    assert judge(made, "transfers-to-category", sources=["summarisation"], target="sentiment").verdict == "untested"


def test_a_missing_cell_is_a_gap_and_no_part_of_a_mean(make: Make) -> None:
    absent = ("micro/qa", "micro/sentiment")
    made = make(lambda source, target: None if (source, target) == absent else by_kind(source, target))
    matrix = transfer_matrix.read(made)
    assert np.isnan(matrix.ratios[0, 2, 0]).all()
    assert any("1 of 16 places lack a cell" in note for note in transfer_matrix.table(made).notes)
    finding = judge(made, "transfers-within-category")
    assert any("1 of 12 pairs of tasks lack a cell" in note for note in finding.notes)
    with figure_style.style():
        figure = transfer_figure.draw([made])
    heat = figure.axes[0]
    assert sum(patch.get_hatch() is not None for patch in heat.patches) == 1
    assert len(heat.texts) == 15
    assert len({line.get_ydata()[0] for line in heat.lines if line.get_ydata()[0] == 1.5}) == 1, "categories are parted"


def test_cells_of_several_sources_have_labels_of_their_own(make: Make) -> None:
    arms = make(by_kind).clean.arms
    assert len(arms) == 1 + len(KINDS)
    assert "reuse from=lora on micro/qa" in arms


def test_keys_are_those_of_the_cell_that_evaluates_and_of_the_two_that_trained(make: Make) -> None:
    matrix = transfer_matrix.read(make(by_kind))
    digits = len(hashlib.sha256(b"").hexdigest())
    assert all(len(held) == 3 and {len(key) for key in held} == {digits} for held in matrix.keys.flat)


@pytest.mark.parametrize("task", KINDS)
def test_a_seed_at_which_nothing_is_moved_does_not_count(make: Make, make_run: Callable[..., Run], task: str) -> None:
    """Another exhibit may have trained one of the cells at a further seed, in the same store."""
    plain = make_run("lora", "micro/sentiment", 4)
    before = make(by_kind)
    after = make(by_kind, [scored(plain, task, OWN, {"name": "lora", "rank": 8}, None, seed) for seed in (4, 5)])
    assert transfer_matrix.read(after).seeds == (0, 1, 2, 3)
    first, second = (judge(one, "transfers-within-category") for one in (before, after))
    assert (first.verdict, first.sentence) == (second.verdict, second.sentence)


def test_guessing_is_taken_off_seed_by_seed(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed whose own delta is poor raises the ratios of guessing and of a moved delta alike."""
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    runs, tasks = [], ("micro/qa", "micro/sentiment")
    owns, noise = (0.9, 0.5, 0.4, 0.8), (0.001, -0.001, 0.002, -0.002)
    for seed, (own, moved) in enumerate(zip(owns, noise, strict=True)):
        plain = make_run("lora", "micro/sentiment", seed)
        trained = [scored(plain, task, own, {"name": "lora", "rank": 8}, None, seed) for task in tasks]
        method = {"name": "reuse"}
        runs += [*trained, scored(plain, tasks[1], 0.25 + moved, method, trained[0].record["key"], seed)]
    (made,) = study.studies(exhibits.load("delta-transfer"), runs)
    kinds = ["question answering", "summarisation"]
    finding = judge(made, "transfers-to-category", sources=kinds, target="sentiment")
    (row,) = finding.comparisons
    leads = [moved / own for own, moved in zip(owns, noise, strict=True)]
    mean, half = np.mean(leads), stats.t.ppf(0.975, 3) * np.std(leads, ddof=1) / 2
    assert (row.estimate, row.low, row.high) == pytest.approx((mean, mean - half, mean + half))
    assert row.verdict == "contradicted", "guessing's own ratios differ by 0.35 between seeds, these leads by 0.008"
    assert row.left == "lora: deltas of question answering on sentiment", "no task of the other category is there"
    assert any("deltas of summarisation" in note for note in finding.notes)
