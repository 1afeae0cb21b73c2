"""What tables say of learning rates: every table of scores, and on seeds that no table reports."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.combining.transfer_matrix import GUESSING
from harness.analysis.output import rate_marks
from harness.analysis.output.table import MISSING
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.views import ranking
from harness.experiments import exhibits, view_registry
from harness.store.archive import Run

GRID = (1e-5, 1e-3, 1e-1)
Runs = Callable[..., list[Run]]


def studied(runs: Sequence[Run], name: str = "delta-ranking", **change: Any) -> Study:
    (here,) = study.studies(replace(exhibits.load(name), **change), runs)
    return here


def edge(make_grid: Runs) -> list[Run]:
    """prefix is best at the highest rate on every task, the others inside the grid."""
    return [
        *make_grid(methods=("none", "full", "lora"), rates=GRID, seeds=range(3)),
        *make_grid(methods=("prefix",), rates=GRID, seeds=range(3), best_rate=1e-1),
    ]


@pytest.mark.parametrize("name", [view.name for view in view_registry.VIEWS.values() if view.kind == "table"])
def test_every_table_of_scores_has_the_arrows(name, make_grid):
    """Each table that prints a score of a method: found by its columns, so that a new view is under it, too.

    A table of losses has the arrows at its rates. What is missing, as a ratio without its cells, needs none, and
    neither does what guessing gives.
    """
    here = studied(edge(make_grid))
    if view_registry.VIEWS[name].target.startswith(
        ("harness.analysis.views.forecast_memory", "harness.analysis.forecast", "harness.analysis.tuning.operations")
    ):  # what is counted before training has no rate
        return
    made = view_registry.VIEWS[name].function()(here)
    scores = [at for at, head in enumerate(made.columns) if head in ("score", "test score", "mean", *here.clean.tasks)]
    rows = [
        row
        for row in made.rows
        if str(row[0].value).split(",")[0] == "prefix" and GUESSING not in [cell.text for cell in row]
    ]
    if name in ("ranking", "tasks", "suite", "peaks", "cost", "samples", "spectrum"):
        assert scores
        assert rows
    if "rate" in made.columns:
        assert rows
        scores.append(made.columns.index("rate"))
    marked = [row[at].text for row in rows for at in scores] if name != "times" else []
    shown = [text for text in marked if text != MISSING]
    assert all("↑" in text for text in shown), shown
    others = [row[at].text for row in made.rows for at in scores if str(row[0].value) in ("full", "lora", "none")]
    assert name == "times" or not any("↑" in text for text in others)


def test_the_legend_stands_where_a_mark_does(make_grid):
    assert "↑ / ↓" in " ".join(ranking.tasks(studied(edge(make_grid))).notes)
    inside = studied(make_grid(rates=GRID))
    assert "↑ / ↓" not in " ".join(ranking.tasks(inside).notes)
    assert rate_marks.UNTUNED not in " ".join(ranking.tasks(inside).notes)


def test_untuned_rows_stand_last_and_are_not_ranked(make_grid):
    runs = [*make_grid(methods=("none", "full", "prompt"), rates=GRID), *make_grid(methods=("lora",))]
    made = ranking.ranking(studied(runs))
    assert [row[0].text for row in made.rows] == ["full", "prompt", "none", "lora (untuned)"]
    assert made.rows[-1][0].value == "lora"
    place = made.columns.index("mean rank")
    assert made.rows[-1][place].text == "—"
    assert made.rows[0][place].text.startswith("1.0")
    assert "untuned: only one learning rate" in " ".join(made.notes)


@pytest.mark.parametrize("end", ["full", "prompt"])
def test_an_untuned_end_is_no_scale(make_grid, end):
    others = tuple({"full", "lora", "prompt"} - {end})
    runs = [*make_grid(methods=others, rates=GRID), *make_grid(methods=(end,))]
    made = ranking.ranking(studied(runs, floor="prompt", ceiling="full"))
    column = made.columns.index("normalised")
    assert {row[column].text for row in made.rows} == {"—"}
    assert f"not normalised: {end} is untuned" in made.notes
    whole = ranking.ranking(studied(make_grid(rates=GRID), floor="prompt", ceiling="full"))
    assert {row[column].text for row in whole.rows} != {"—"}


def test_a_declared_tuning_seed_chooses_and_is_not_reported(make_run):
    """Seed 0 prefers the highest rate, the others the middle one: the rate is seed 0's, the scores are the others'."""
    runs = [
        make_run(method, "micro/qa", seed, learning_rate=rate, best_rate=1e-1 if seed == 0 else 1e-3)
        for method in ("full", "lora") for rate in GRID for seed in range(4)
    ]  # fmt: skip
    here = studied(runs)
    assert here.clean.seeds == here.paper.seeds == (1, 2, 3)
    assert set(here.rates.learning_rate) == {1e-1}
    assert set(here.selected_curves.seed) == {1, 2, 3}
    assert "with seed 0, which no number here includes" in " ".join(ranking.ranking(here).notes)
    quick = {"quick": exhibits.load("delta-ranking").grids["quick"]}  # whose blocks have no search and its seeds
    same = studied(runs, declared_tuning=frozenset(), grids=quick)
    assert same.clean.seeds == (0, 1, 2, 3)
    assert "seeds that are reported, which is optimistic" in " ".join(ranking.ranking(same).notes)


def test_without_rates_to_choose_among_every_seed_is_reported(make_grid):
    quick = {"quick": exhibits.load("delta-ranking").grids["quick"]}  # the other grids choose rates on seed 0
    assert studied(make_grid(), grids=quick).clean.seeds == (0, 1, 2)


def test_scores_of_collapsed_models_are_marked_and_counted_with_a_legend(make_grid):
    runs = make_grid(methods=("none", "full", "lora"), rates=GRID, seeds=range(3))
    broken = []
    for run in runs:
        cell = run.record["cell"]
        same = (
            0.99 if (cell["method"]["name"], cell["task"]["name"]) == ("lora", "micro/qa") and cell["seed"] > 0 else 0.6
        )
        scores = {
            name: {**point, "sets": {part: {**figures, "commonest": same} for part, figures in point["sets"].items()}}
            for name, point in run.record["scores"].items()
        }
        broken.append(replace(run, record={**run.record, "scores": scores}))
    here = studied(broken)
    made = view_registry.VIEWS["tasks"].function()(here)
    shown = {
        str(row[0].value): dict(zip(made.columns, [entry.text for entry in row], strict=True)) for row in made.rows
    }
    assert shown["lora"]["micro/qa"].endswith(" c2")
    assert shown["lora"]["mean"].endswith(" c2")
    assert not any(" c" in text for name in ("full", "none") for text in shown[name].values())
    assert any(note.startswith("c1, c2, …: ") for note in made.notes)
    clean = view_registry.VIEWS["tasks"].function()(studied(runs))
    assert not any(note.startswith("c1, c2, …: ") for note in clean.notes)
