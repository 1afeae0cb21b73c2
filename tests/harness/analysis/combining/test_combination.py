"""Combinations on records whose truth is known: the table with its gaps, the figure, and each claim both ways."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from harness.analysis.combining import combination_figure, combination_table, factorial
from harness.analysis.output import figure_style
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

PARTS = ("prompt", "bitfit", "adapter")
SUBSETS = [frozenset(chosen) for count in range(4) for chosen in combinations(PARTS, count)]
FULL, FEW = (None, "text"), (32, "text")
Make = Callable[..., Study]
Worth = Mapping[str, float]


def worth(chosen: frozenset[str], gains: Worth) -> float:
    """Return the quality of a combination: 0.5 and what each part adds."""
    return 0.5 + sum(gains.get(part, 0.0) for part in chosen) if chosen else 0.0


def placed(run: Run, size: int | None, prompt: str) -> Run:
    cell = run.record["cell"]
    task = {**cell["task"], "train_size": size, "prompt": prompt, "digest": f"{size}{prompt}"}
    key = run.record["key"][:-8] + f"{abs(hash((size, prompt))) % 10**8:08d}"
    return replace(run, record={**run.record, "key": key, "cell": {**cell, "task": task}})


@pytest.fixture
def make(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(full: Worth, few: Worth, absent: frozenset[str] | None = None, seeds: int = 6) -> Study:
        runs = []
        for (size, prompt), gains in ((FULL, full), (FEW, few)):
            for chosen in SUBSETS:
                method = "none" if not chosen else next(iter(chosen)) if len(chosen) == 1 else "combine"
                fields: dict[str, Any] = {"parts": [p for p in PARTS if p in chosen]} if len(chosen) > 1 else {}
                for seed in range(seeds) if chosen != absent else ():
                    quality = {method: worth(chosen, gains)}
                    run = make_run(method, "micro/sentiment", seed, fields=fields, quality=quality, noise=0.004)
                    runs.append(placed(run, size, prompt))
        (made,) = study.studies(exhibits.load("delta-combination"), runs)
        return made

    return do


def judge(made: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


HELPS, HURTS = {"prompt": -0.2, "bitfit": 0.2, "adapter": 0.1}, {"prompt": 0.1, "bitfit": -0.2, "adapter": 0.1}


def test_the_table_has_each_combination_in_each_setting_and_marks_what_is_on(make: Make) -> None:
    made = combination_table.table(make(HELPS, HELPS))
    assert made.columns[:4] == ("setting", "adapter", "bitfit", "prompt")
    assert len(made.rows) == 2 * 8
    on = [[entry.text for entry in row[1:4]] for row in made.rows[:8]]
    assert on == [
        [("x" if p in chosen else "") for p in sorted(PARTS)]
        for chosen in factorial.of(make(HELPS, HELPS)).combinations()
    ]
    best = [row for row in made.rows[:8] if row[made.columns.index("mean")].mark.startswith("best")]
    assert [[entry.text for entry in row[1:4]] for row in best] == [["x", "x", ""]]
    published = {row[-1].text for row in made.rows}
    assert "87.3 (0.3)" in published, "all rows stand beside the paper's mean with a manual template"


def test_a_combination_that_did_not_run_is_a_gap_and_no_mean(make: Make) -> None:
    made = make(HELPS, HELPS, absent=frozenset(PARTS))
    shown = combination_table.table(made)
    gaps = [row for row in shown.rows if row[4].text == combination_table.ABSENT]
    assert len(gaps) == 2
    assert {entry.text for row in gaps for entry in row[5:-1]} == {"—"}
    assert any("not run: adapter+bitfit+prompt" in note for note in shown.notes)
    with figure_style.style():
        figure = combination_figure.draw([made])
    assert sum(text.get_text() == "not run" for axes in figure.axes for text in axes.texts) == 2


@pytest.mark.parametrize(("gains", "verdict"), [(HELPS, "reproduced"), (HURTS, "contradicted"), ({}, "inconclusive")])
def test_a_part_that_adds_is_told_from_one_that_does_not(make: Make, gains: Worth, verdict: str) -> None:
    finding = judge(make(gains, gains), "adding-helps", part="bitfit")
    assert finding.verdict == verdict, finding.sentence
    assert [row.left for row in finding.comparisons] == ["with bitfit (all rows)", "with bitfit (few rows)"]


def test_a_part_that_helps_with_few_rows_alone_is_no_part_that_helps(make: Make) -> None:
    assert judge(make(HURTS, HELPS), "adding-helps", part="bitfit").verdict == "contradicted"


@pytest.mark.parametrize(("gains", "verdict"), [(HELPS, "reproduced"), ({"prompt": 0.2}, "contradicted")])
def test_a_part_that_hurts_is_seen(make: Make, gains: Worth, verdict: str) -> None:
    assert judge(make(gains, gains), "adding-hurts-somewhere", part="prompt").verdict == verdict


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"bitfit": 0.2, "adapter": 0.2}, "reproduced"),
        ({"bitfit": 0.3, "adapter": -0.2, "prompt": -0.2}, "contradicted"),
    ],
)
def test_a_combination_has_to_be_above_the_best_single(make: Make, gains: Worth, verdict: str) -> None:
    assert judge(make(gains, gains), "combination-beats-best-single").verdict == verdict


def test_a_combination_is_compared_with_its_own_methods_alone(make: Make) -> None:
    finding = judge(make(HELPS, HELPS), "combination-beats-best-single")
    for row in finding.comparisons:
        parts = row.left.partition(" ")[0].split("+")
        assert len(parts) > 1
        assert row.right in parts, "a method that it does not have says nothing of it"
    assert any("32 rows" in note for note in finding.notes), "all seeds train on the same few"
    counted = judge(make(HELPS, HELPS), "fewer-parameters", left="prompt", right="adapter")
    assert counted.comparisons
    assert not any("32 rows" in note for note in counted.notes), "what has no interval leaves nothing out"


def test_the_best_combination_differs_where_each_is_best_in_its_own_place(make: Make) -> None:
    few = {"prompt": 0.2, "bitfit": -0.2, "adapter": 0.1}
    apart = judge(make(HELPS, few), "best-combination-differs")
    assert apart.verdict == "reproduced", apart.sentence
    assert [(row.left, row.right) for row in apart.comparisons] == [
        ("bitfit+adapter (all rows)", "prompt+adapter"),
        ("prompt+adapter (few rows)", "bitfit+adapter"),
    ]
    clear = {"prompt": -0.3, "bitfit": 0.25, "adapter": 0.25}
    assert judge(make(clear, clear), "best-combination-differs").verdict == "contradicted"
    assert judge(make({}, {}), "best-combination-differs").verdict == "inconclusive"


def test_without_the_part_the_claims_are_untested(make: Make) -> None:
    made = make(HELPS, HELPS)
    for name in ("adding-helps", "adding-hurts-somewhere"):
        assert judge(made, name, part="lora").verdict == "untested"
