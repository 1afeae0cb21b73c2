"""Scores by training rows, sides of a comparison and peaks of memory, on made records of known truth."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import report
from harness.analysis.figures import samples_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.analysis.views import measured_memory, samples
from harness.experiments import claims, exhibits
from harness.experiments.verdict import VERDICTS, Finding
from harness.store.archive import Run

SIZES = (105, 420, 735, 1050)
WORTH = {"lora": 0.6, "dora": 0.65, "vera": 0.2, "dvora": 0.5}
GAIN = {105: 0.0, 420: 0.2, 735: 0.3, 1050: 0.4}
Make = Callable[..., Study]


def probed(run: Run, size: int | None, **figures: Any) -> Run:
    """The run at a number of training rows, with what the probes would have read."""
    record = dict(run.record)
    task = {**record["cell"]["task"], "train_size": size, "digest": f"{size}"}
    score = record["scores"]["best"]["sets"]["test"]["accuracy"]
    overlap = {"status": "done", "sets": {"test": {"exact_match": score, "rouge_l": min(1.0, score + 0.1), "n": 300}}}
    extra = {name: {"status": "done", "sets": {"test": found}} for name, found in figures.items()}
    record |= {"cell": {**record["cell"], "task": task}, "probes": {"overlap": overlap, **extra}}
    return replace(run, record={**record, "key": f"{hash((record['key'], size)) & (2**256 - 1):064x}"})


@pytest.fixture
def make(make_run: Callable[..., Run]) -> Make:
    def made(method: str, seed: int, rate: float, size: int) -> Run:
        worth = {method: WORTH[method] + GAIN[size]}
        return make_run(method, "micro/qa", seed, learning_rate=rate, noise=0.004 + 4e-6 * size, quality=worth)

    def do(
        rates: Sequence[float] = (1e-4, 1e-3, 1e-2),
        sizes: Sequence[int] = SIZES,
        name: str = "dora-figure3",
        **figures: Any,
    ) -> Study:
        runs = [
            probed(made(method, seed, rate, size), size, **figures)
            for method in WORTH
            for size in sizes
            for rate in rates
            for seed in (200, 0, 1, 2)  # 200 chooses the rates, as no verdict rests on rates chosen on reported seeds
        ]
        (found,) = study.studies(exhibits.load(name), runs)
        return found

    return do


def judge(found: Study, name: str, **options: Any) -> Finding:
    given = {**claims.find(name).options, **options}
    claim = claims.find(name).with_options(given)
    return claim.test()(found, claim, given)


def test_the_table_has_every_measure_at_every_number_of_rows(make: Make) -> None:
    made = samples.table(make(judge={"grade": 6.25, "rows": 300}))
    assert made.columns == ("method", "trains", "share", "measure", "105 rows", "420 rows", "735 rows", "1,050 rows")
    assert {row[3].text for row in made.rows} == {"exact match", "ROUGE-L", "judge, 1 to 10"}
    assert len(made.rows) == len(WORTH) * 3
    assert all(entry.value is not None and entry.keys for row in made.rows for entry in row[4:])
    assert {row[4].text.split(" ")[0] for row in made.rows if row[3].text.startswith("judge")} == {"6.25"}
    assert any("it leaves out the error of the rows" in note for note in made.notes), "a probe has no row scores"


def test_without_probes_the_tasks_own_metric_is_shown(make: Make) -> None:
    here = make()
    bare = replace(here, scores=here.scores.assign(probes=[{} for _ in here.scores.index]))
    made = samples.table(bare)
    assert {row[3].text for row in made.rows} == {"score"}
    assert not any("it leaves out the error of the rows" in note for note in made.notes)


def test_more_rows_help_where_they_do(make: Make) -> None:
    found = judge(make(), "more-samples-help")
    assert found.verdict == "reproduced"
    assert [row.left for row in found.comparisons] == [f"{name} on 1,050 rows" for name in WORTH]
    assert judge(make(), "more-samples-help", methods=["vera"]).comparisons[0].left == "vera on 1,050 rows"
    assert judge(make(sizes=(105,)), "more-samples-help").verdict == "untested"
    assert "no paper" in found.source
    assert "our own claim" in found.sentence


@pytest.mark.parametrize(("size", "verdict"), [(1050, "untested"), (105, "reproduced")])
def test_rows_help_only_where_the_most_of_them_teach_the_ceiling(make: Make, size: int, verdict: str) -> None:
    here = make()
    column = next(name for name, rows in samples.sizes(here).items() if rows == size)
    here.__dict__["unlearnt"] = (column,)
    found = judge(here, "more-samples-help")
    assert {row.verdict for row in found.comparisons} == {verdict}


def test_a_side_is_compared_at_every_size(make: Make) -> None:
    found = judge(make(), "scores-above", left="dvora", right="vera", each=True)
    assert found.verdict == "reproduced"
    assert len(found.comparisons) == len(SIZES)
    assert "train_size=105" in found.comparisons[0].left
    assert judge(make(), "scores-above", left="vera", right="lora").verdict == "contradicted"
    [row] = judge(make(), "scores-at-least", left="dora", right="lora").comparisons
    assert row.seeds_verdict == "reproduced"
    absent = judge(make(), "scores-above", left="bitfit", right="lora")
    assert absent.verdict == "untested"
    assert "not both among these cells" in absent.sentence


def test_one_rate_decides_nothing(make: Make) -> None:
    found = judge(make(rates=(1e-3,)), "scores-above", left="dvora", right="vera")
    assert found.verdict == "inconclusive"
    assert {row.reason for row in found.comparisons} == {"only one learning rate was tried"}


def test_parameters_are_counted(make: Make) -> None:
    here = make()
    counts = {"dvora": 100, "lora": 400}
    here = replace(here, scores=here.scores.assign(delta=here.scores.method.map(counts).fillna(50)))
    found = judge(here, "fewer-parameters", left="dvora", right="lora")
    assert found.verdict == "by construction"
    assert "dvora trains 100, 25% of the 400 of lora" in found.sentence
    assert judge(here, "fewer-parameters", left="lora", right="dvora").verdict == "contradicted"


def variants(make_run: Callable[..., Run], live: dict[bool, int | None]) -> Study:
    """Two variants of one method that hold these bytes in training."""
    draw = random.Random(0)
    runs = []
    for detach, size in live.items():
        for seed in (0, 1, 2):
            for rate in (1e-3, 1e-2):
                run = make_run(
                    "dora", "micro/qa", seed, learning_rate=rate, fields={"detach": detach, "targets": ["k", "q"]}
                )
                held = None if size is None else size + draw.randrange(1000)
                memory = {"train": {"live_bytes": held, "torch_allocated_bytes": None}}
                runs.append(replace(run, record={**run.record, "memory": memory}))
    (found,) = study.studies(exhibits.load("dora-table7"), runs)
    return found


def test_peaks_of_variants_are_compared(make_run: Callable[..., Run]) -> None:
    here = variants(make_run, {True: 7_000_000, False: 10_000_000})
    sides = {"left": {"method": "dora", "detach": True}, "right": {"method": "dora", "detach": False}}
    found = judge(here, "less-memory", **sides)
    assert found.verdict == "reproduced"
    assert found.comparisons[0].estimate == pytest.approx(0.3, abs=0.01)
    assert found.sentence.startswith("dora detach=True needs less memory in training than dora detach=False: repr")
    assert judge(here, "less-memory", left=sides["right"], right=sides["left"]).verdict == "contradicted"
    little = variants(make_run, {True: 9_940_000, False: 10_000_000})
    assert judge(little, "less-memory", **sides).verdict == "contradicted"  # 0.6 % is no saving
    made = {row[0].text: row for row in measured_memory.table(here).rows}
    assert made["dora detach=False"][4].text == "100.0 %"
    assert made["dora detach=True"][3].value == pytest.approx(7_000_500 / 2**20, rel=1e-3)
    assert judge(variants(make_run, {True: None, False: 1}), "less-memory", **sides).verdict == "untested"


def test_a_side_may_name_targets_in_any_order(make_run: Callable[..., Run]) -> None:
    here = variants(make_run, {True: 1, False: 2})
    side = {"method": "dora", "targets": ["q", "k"], "detach": True}
    assert judge(here, "less-memory", left=side, right={"method": "dora", "detach": False}).comparisons


def test_figures_and_tables_are_drawn(make: Make, tmp_path: Path) -> None:
    here = make(judge={"grade": 6.25})
    with figure_style.style():
        figure = samples_figure.draw([here])
        figure_style.settle(figure)
        assert len([axes for axes in figure.axes if axes.lines]) == 3 + 2  # measures, and the paper's two models
        figure.savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 5000


@pytest.mark.parametrize("name", ["dora-table5", "dora-table6", "dora-table7", "dora-table1", "dora-figure3"])
def test_the_exhibits_render_whatever_records_there_are(make: Make, name: str, tmp_path: Path) -> None:
    found = report.judge(exhibits.load(name), make(sizes=(1050,), name=name))
    assert found
    assert {one.verdict for one in found} <= set(VERDICTS)
