"""Tables of any cells: the numbers of the exhibits on any axes, and no mean over what must not be averaged."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.analysis import grid_table, pivot
from harness.analysis.output import rate_marks
from harness.analysis.output.table import MISSING, Table
from harness.analysis.study import axes, estimates, measures, study
from harness.analysis.views import ranking
from harness.errors import UsageError
from harness.experiments.exhibits import Exhibit
from harness.store import columns
from harness.store.archive import Run

Runs = Callable[..., list[Run]]
QA = "micro/qa"


def made(
    runs: Sequence[Run],
    by: str = "method,task",
    metric: str = "test",
    sort: str | None = None,
    exhibit: Exhibit | None = None,
) -> list[Table]:
    exhibit = exhibit or grid_table.plain("mine")
    flat = {run.record["key"]: columns.flat(run.record) for run in runs if run.record["status"] == "done"}
    chosen = axes.parse(by, [run.record["cell"] for run in runs])
    return pivot.tables(study.studies(exhibit, runs), measures.find(metric, flat, exhibit.sets), chosen, sort)


def texts(table: Table) -> dict[str, dict[str, str]]:
    return {
        str(row[0].value): {head: entry.text for head, entry in zip(table.columns[1:], row[1:], strict=True)}
        for row in table.rows
    }


def test_numbers_marks_and_keys_are_those_of_the_exhibits(make_grid: Runs) -> None:
    rates = (1e-5, 1e-3, 1e-1)
    runs = make_grid(methods=("full", "lora"), rates=rates) + make_grid(methods=("prefix",), rates=rates, best_rate=0.1)
    [table] = made(runs)
    [one] = study.studies(grid_table.plain("mine"), runs)
    expected = ranking.tasks(one)
    shown = {str(row[0].value): row for row in table.rows}
    assert table.columns == (*expected.columns, "n", "rate")
    assert [str(row[0].value) for row in table.rows] == [str(row[0].value) for row in expected.rows]
    for row in expected.rows:
        mine = shown[str(row[0].value)]
        assert [entry.text for entry in mine[1:5]] == [entry.text for entry in row[1:]]
        assert [set(entry.keys) for entry in mine[1:5]] == [set(entry.keys) for entry in row[1:]]
    assert "↑" in texts(table)["prefix"]["mean"]
    assert {arm: texts(table)[arm]["rate"] for arm in one.clean.arms} == {
        arm: rate_marks.rates(one, arm).text for arm in one.clean.arms
    }
    assert {row["n"] for arm, row in texts(table).items() if arm != "guessing"} == {"3"}
    assert rate_marks.AT_EDGE in table.notes
    assert any("microworld" in note for note in table.notes)


def test_any_field_is_an_axis_and_tasks_on_none_are_averaged(make_grid: Runs, make_run: Callable[..., Run]) -> None:
    runs = [
        make_run(method, task, seed, fields={"rank": rank, "alpha": 2 * rank})
        for method in ("lora", "dora") for rank in (2, 16, 4) for task in (QA, "micro/sentiment") for seed in (0, 1)
    ]  # fmt: skip
    [table] = made(runs + make_grid(methods=("full",), tasks=(QA, "micro/sentiment")), "method.rank,method")
    assert table.columns == ("method.rank", "lora (untuned)", "dora (untuned)", "full (untuned)", "n")
    assert [str(row[0].value) for row in table.rows] == ["2", "4", "16", axes.ABSENT]
    [one] = study.studies(grid_table.plain("mine"), runs)
    assert table.rows[1][1].value == pytest.approx(100 * estimates.score(one.clean, "lora rank=4").main.mean)
    assert table.rows[1][1].low == pytest.approx(100 * estimates.score(one.clean, "lora rank=4").main.low)
    assert texts(table)["4"]["full (untuned)"] == MISSING
    [table] = made(runs[:12], "task,method")
    assert [head.partition(" (")[0] for head in table.columns[1:4]] == ["lora rank=2", "lora rank=4", "lora rank=16"]


def test_what_is_on_no_axis_makes_a_table_of_its_own(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), models=("micro-t5-nano", "micro-llama-nano"))
    assert [table.model for table in made(runs)] == ["micro-t5-nano", "micro-llama-nano"]
    by_task = made(runs, "model,task")
    assert [table.model for table in by_task] == ["full", "lora"]
    assert [str(row[0].value) for row in by_task[0].rows[:2]] == ["micro-t5-nano", "micro-llama-nano"]


FAMILIES = {"micro-t5-nano": "t5", "micro-t5-micro": "t5", "micro-llama-nano": "llama"}


def _of_families(runs: list[Run]) -> list[Run]:
    for run in runs:
        run.record["cell"]["model"]["family"] = FAMILIES[run.record["cell"]["model"]["name"]]
    return runs


@pytest.mark.parametrize("by", ["model.family,method", "method,model.family"])
def test_a_field_of_models_groups_them_in_one_table(make_grid: Runs, by: str) -> None:
    runs = _of_families(make_grid(methods=("full", "lora"), models=("micro-t5-nano", "micro-llama-nano")))
    [table] = made(runs, by)
    [one] = [study for study in study.studies(grid_table.plain("mine"), runs) if study.model == "micro-t5-nano"]
    shown = {str(row[0].value): row for row in table.rows}
    at = table.columns.index("lora (untuned)" if by.startswith("model") else "t5")
    entry = shown["t5" if by.startswith("model") else "lora"][at]
    assert table.model == "all cells"
    assert entry.value == pytest.approx(100 * estimates.score(one.clean, "lora").main.mean)
    assert not any("mean over the models" in note for note in table.notes)


def test_models_of_one_family_are_averaged_and_named(make_grid: Runs) -> None:
    runs = _of_families(make_grid(methods=("full",), tasks=(QA,), seeds=(0, 1), models=tuple(FAMILIES)))
    [table] = made(runs, "model.family,method")
    scores = [run.record["scores"]["best"]["sets"]["test"]["accuracy"] for run in runs]
    of_t5 = [score for run, score in zip(runs, scores, strict=True) if run.record["cell"]["model"]["family"] == "t5"]
    [entry] = [row[1] for row in table.rows if row[0].value == "t5"]
    assert entry.value == pytest.approx(100 * sum(of_t5) / 4)
    assert len(entry.keys) == 4
    assert "mean over the models micro-t5-nano, micro-t5-micro, where a place has several" in table.notes


def test_a_record_from_before_a_field_existed_stands_at_its_default(make_run: Callable[..., Run]) -> None:
    old = [make_run("lora", QA, seed, fields={"rank": 4, "alpha": 8}) for seed in (0, 1)]
    new = [make_run("lora", QA, seed, fields={"rank": 4, "alpha": 8, "rate_ratio": 16.0}) for seed in (0, 1)]
    [table] = made(old + new, "method.rate_ratio,task")
    assert [str(row[0].value) for row in table.rows[:2]] == ["1.0", "16.0"]
    assert columns.flat(old[0].record)["method.rate_ratio"] == 1.0
    foreign = make_run("someone_elses", QA, 0, fields={"rank": 4})
    assert "method.rate_ratio" not in columns.flat(foreign.record)


def test_no_mean_over_metrics(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"))
    for run in runs:
        if run.record["cell"]["task"]["name"] == QA:
            run.record["task_facts"]["metric"] = "f1"
            for point in run.record["scores"].values():
                point["sets"] = {name: {"f1": found["accuracy"], "n": 4} for name, found in point["sets"].items()}
    [table] = made(runs)
    assert table.columns[1:5] == ("micro/sentiment", "micro/inference", QA, "mean accuracy")
    assert "metrics: accuracy (micro/sentiment, micro/inference); f1 (micro/qa)" in table.notes
    [one] = study.studies(grid_table.plain("mine"), runs)
    expected = ranking.tasks(one)
    assert expected.columns == table.columns[:5]
    assert [row[-1].text for row in expected.rows] == [row[4].text for row in table.rows]
    assert any("mean over different metrics" in note for note in ranking.ranking(one).notes)
    [alone] = made(runs, "method")
    assert alone.columns == ("method", "test accuracy", "test f1", "n", "rate")
    assert texts(alone)["full"]["test accuracy"] == texts(table)["full"]["mean accuracy"]
    assert texts(alone)["full"]["test f1"] == texts(table)["full"][QA]
    [mixed] = made(runs, "method,recipe.steps")
    assert {row["200"] for row in texts(mixed).values()} == {MISSING}
    told = (
        "no mean over tasks that different metrics score (micro/sentiment, micro/inference by accuracy; micro/qa by f1)"
    )
    assert f"{told}: `deltabench table --by method,task` shows each" in mixed.notes


def test_no_mean_over_versions_of_one_task(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), tasks=(QA,), seeds=(0, 1))
    for run in runs[::2]:
        run.record["cell"]["task"]["digest"] = "other"
    [table] = made(runs)
    assert table.columns[1:4] == ("micro/qa digest=other", "micro/qa digest=micro/qa", "mean")
    assert {row["mean"] for row in texts(table).values()} == {MISSING}  # that of guessing, too
    assert not any(note.startswith("folders") for note in table.notes)
    for run in runs:
        run.record["cell"]["task"]["data_dir"] = run.record["cell"]["task"]["digest"]
    [table] = made(runs)
    assert "folders of micro/qa: other (micro/qa digest=other); micro/qa (micro/qa digest=micro/qa)" in table.notes
    assert any("versions of one task (micro/qa digest=other, micro/qa digest=micro/qa)" in note for note in table.notes)


def test_a_mean_needs_a_score_on_every_task(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), seeds=(0, 1))
    left = [
        run
        for run in runs
        if (run.record["cell"]["method"]["name"], run.record["cell"]["task"]["name"]) != ("lora", QA)
    ]
    [table] = made(left)
    assert texts(table)["lora"]["mean"] == texts(table)["lora"][QA] == MISSING
    assert texts(table)["full"]["mean"] != MISSING
    [alone] = made(left, "method")
    assert texts(alone)["lora"]["test score"] == MISSING
    assert "a mean over tasks needs one on every task" in " ".join(alone.notes)


def test_rates_on_an_axis_stand_apart_and_the_chosen_one_is_marked(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), tasks=(QA,), rates=(1e-4, 1e-3, 1e-2))
    [table] = made(runs, "method,recipe.learning_rate")
    assert table.columns == ("method", "1e-4", "1e-3", "1e-2", "n")
    for row in texts(table).values():
        assert [head for head, text in row.items() if text.endswith(" *")] == ["1e-3"]
    assert any(note.startswith("*: the learning rate that validation chooses") for note in table.notes)


def test_seeds_that_choose_rates_are_in_no_test_score(make_grid: Runs) -> None:
    block = {"method": ["lora"], "model": ["m"], "task": [QA]}
    tuning = (
        {**block, "recipe.learning_rate": [1e-3, 1e-2], "seed": [9]},
        {**block, "recipe.learning_rate": ["chosen"], "seed": [0, 1]},
    )
    exhibit = Exhibit("mine", "mine", "", {"quick": tuning}, "mine", ())
    runs = make_grid(methods=("lora",), tasks=(QA,), rates=(1e-3, 1e-2), seeds=(9,))
    runs += make_grid(methods=("lora",), tasks=(QA,), seeds=(0, 1))
    [table] = made(runs, exhibit=exhibit)
    assert texts(table)["lora"]["n"] == "2"
    assert not set(table.rows[0][1].keys) & {run.record["key"] for run in runs[:2]}
    [table] = made(runs, "method,recipe.learning_rate", "validation", exhibit=exhibit)
    assert set(table.rows[0][1].keys + table.rows[0][2].keys) == {run.record["key"] for run in runs[:2]}


def test_seeds_and_sets_are_axes(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), tasks=(QA,), seeds=(0, 1))
    for run in runs:
        run.record["task_facts"]["tests"] = ["easy", "hard"]
        for point in run.record["scores"].values():
            point["sets"] |= {"easy": {"accuracy": 0.9, "n": 10}, "hard": {"accuracy": 0.3, "n": 10}}
    [table] = made(runs, "method,set")
    assert table.columns[:4] == ("method", "easy", "hard", "mean")
    assert [entry.value for entry in table.rows[0][1:4]] == pytest.approx([90, 30, 60])
    [table] = made(runs, "seed,method")
    assert (table.columns, [row[0].value for row in table.rows]) == (
        ("seed", "full (untuned)", "lora (untuned)"),
        ["0", "1"],
    )
    assert table.rows[0][1].text == "60.0"


def test_costs_are_figures_of_the_record(make_grid: Runs) -> None:
    runs = make_grid(methods=("full", "lora"), tasks=(QA,), seeds=(0, 1))
    for place, run in enumerate(runs):
        run.record["memory"] = {"train": {"live_bytes": (place + 1) * 10**6, "torch_allocated_bytes": None}}
    [table] = made(runs, "method", "memory")
    assert [entry.value for entry in (table.rows[0][1], table.rows[1][1])] == pytest.approx([1.5, 3.5])
    assert table.title == "memory.train.live_bytes (MB) by method"
    [table] = made(runs, "method,task", "train_s")
    assert any("2 other cells ran beside" in note for note in table.notes)
    [table] = made(runs, "method", "parameters")
    assert [row[1].value for row in table.rows] == [183936, 12288]


def test_rows_are_sorted_by_a_column_the_best_first(make_grid: Runs) -> None:
    runs = make_grid(methods=("prompt", "full", "lora"), noise=0.0)
    assert [str(row[0].value) for row in made(runs, sort=QA)[0].rows] == ["full", "lora", "prompt", "guessing"]
    costs = made(runs, "method", "parameters", sort="parameters.delta")[0]
    assert [str(row[0].value) for row in costs.rows] == ["prompt", "lora", "full"]
    with pytest.raises(UsageError, match=r"--sort qa: .*micro/qa"):
        made(runs, sort="qa")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"by": "method,rank"}, r"--by rank: no cell here has this field.* method.rank"),
        ({"by": "method,method"}, "the same axis"),
        ({"by": "a,b,c"}, "one axis or two"),
        ({"by": ""}, "one axis or two"),
        ({"metric": "f2"}, "no cell has a metric 'f2'"),
        ({"metric": "foo"}, r"no cell has a metric 'foo'\. Known: "),
        ({"metric": "process_bytes"}, r"is one of memory.load.process_bytes, memory.train.process_bytes"),
    ],
)
def test_what_no_cell_has_is_refused(make_run: Callable[..., Run], words: dict[str, Any], told: str) -> None:
    run = make_run("lora", QA, 0, fields={"rank": 4})
    run.record["memory"] = {"load": {"process_bytes": 1}, "train": {"process_bytes": 1}}
    with pytest.raises(UsageError, match=told):
        made([run], **words)


def test_an_exhibit_of_validation_scores_has_no_test_score(make_grid: Runs) -> None:
    exhibit = Exhibit("mine", "mine", "", {}, "mine", (), sets="validation")
    with pytest.raises(UsageError, match="validation scores only"):
        made(make_grid(tasks=(QA,)), exhibit=exhibit)
