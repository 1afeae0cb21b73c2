"""Variants are compared with the reference at tuned rates and at one shared rate, each by its own cells."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.analysis.figures import equivalence_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.tuning import equivalence
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
PLAIN = {"init": "kaiming", "rslora": False, "rate_ratio": 1.0}
OTHER = {**PLAIN, "init": "pissa"}
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
REFERENCE = {"method": "lora", **PLAIN}


@pytest.fixture
def make(make_run: Callable[..., Run]) -> Make:
    def do(
        best: dict[str, float], noise: float = 0.001, rows: int = 100_000, at: float = 1e-2, more: Sequence[Run] = ()
    ) -> Study:
        """Return one study of the reference and a variant. best: "plain" and "other" -> the best rate of each."""
        runs = []
        for name, fields in (("plain", PLAIN), ("other", OTHER)):
            near: dict[str, Any] = {"fields": fields, "best_rate": best[name], "noise": noise}
            for rate in RATES:
                runs.append(make_run("lora", "micro/qa", 200, learning_rate=rate, **near))
            for rate in dict.fromkeys((best[name], at)):
                runs += [make_run("lora", "micro/qa", seed, learning_rate=rate, **near) for seed in range(5)]
        runs += more
        for run in runs:
            for point in run.record["scores"].values():
                point["sets"]["test"]["n"] = rows
        (made,) = study.studies(exhibits.load("tuned-variants"), runs)
        return made

    return do


def judge(made: Study, name: str) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, "reference": REFERENCE}
    return claim.with_options(given).find(made, given)


def test_variants_with_other_best_rates_are_equivalent_once_tuned_and_differ_at_one_rate(make: Make) -> None:
    made = make({"plain": 1e-2, "other": 1e-3})
    assert equivalence.shared_rate(made) == 1e-2
    assert judge(made, "equivalent-once-tuned").verdict == "reproduced"
    assert judge(made, "equivalent-at-one-rate").verdict == "contradicted"
    shown = equivalence.table(made)
    row = next(row for row in shown.rows if row[0].text == "init=pissa")
    assert [row[4].text, row[7].text] == ["equivalent", "different"]
    assert row[1].text == "1e-3"


def test_few_test_rows_leave_equivalence_undecided(make: Make) -> None:
    finding = judge(make({"plain": 1e-2, "other": 1e-3}, rows=200), "equivalent-once-tuned")
    assert finding.verdict == "inconclusive"
    assert "test rows" in finding.sentence


def test_a_tuned_rate_at_the_edge_leaves_the_tuned_claim_undecided_but_not_that_at_one_rate(make: Make) -> None:
    made = make({"plain": 1e-2, "other": 1e-1})
    assert judge(made, "equivalent-once-tuned").verdict == "inconclusive"
    assert judge(made, "equivalent-at-one-rate").verdict != "inconclusive"


def test_a_head_alone_is_no_variant(make: Make, make_run: Callable[..., Run]) -> None:
    """A linear probe scores far below LoRA at any rate; it is a row of the table and decides no claim."""
    made = make({"plain": 1e-2, "other": 1e-2})
    with_head = make({"plain": 1e-2, "other": 1e-2}, more=_probes(make_run))
    for name in ("equivalent-once-tuned", "equivalent-at-one-rate"):
        finding, before = judge(with_head, name), judge(made, name)
        assert [row.left for row in finding.comparisons] == [row.left for row in before.comparisons]
        assert finding.verdict == before.verdict
    assert "linear_probe" in {row[0].text for row in equivalence.table(with_head).rows}


def _probes(make_run: Callable[..., Run]) -> list[Run]:
    """Return runs of a head alone, far below the others."""
    runs = [
        make_run("linear_probe", "micro/qa", seed, learning_rate=rate, quality={"linear_probe": 0.1})
        for seed in (200, *range(5)) for rate in (1e-2, 3e-2)
    ]  # fmt: skip
    for run in runs:
        run.record["parameters"] = {**run.record["parameters"], "delta": 0, "head": 500}
    return runs


def test_without_the_reference_the_claim_is_untested(make: Make) -> None:
    made = make({"plain": 1e-2, "other": 1e-3})
    claim = claims.find("equivalent-once-tuned")
    given = {**claim.options, "reference": "adapter"}
    assert claim.with_options(given).find(made, given).verdict == "untested"


def test_the_shared_rate_is_not_the_one_that_all_arms_were_tuned_to(make: Make) -> None:
    made = make({"plain": 3e-3, "other": 3e-3})
    assert equivalence.shared_rate(made) == 1e-2
    assert equivalence.shared(made).values.shape[-1] == 5


def test_the_figure_names_variants_by_what_differs(make: Make) -> None:
    with figure_style.style():
        figure = equivalence_figure.draw([make({"plain": 1e-2, "other": 1e-3})])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["init=pissa"]
