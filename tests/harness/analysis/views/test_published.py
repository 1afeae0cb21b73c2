"""The published rows stand beside ours, those of one arm together."""

import dataclasses

import pytest

from harness import assets
from harness.analysis.study import study
from harness.analysis.views import forecast_memory, published
from harness.experiments import exhibits
from harness.forecast import exhibit_rows

HEAD = "paper_version,model,method,rank,params_pct,AB,CD,avg_reported,avg_recomputed,avg_flag"
ROWS = """# a source
v1,L,LoRA,4,0.1,10.0,20.0,15.0,15.0,
v1,L,DoRA,4,0.1,30.0,40.0,35.0,35.0,
v2,L,LoRA,4,0.1,10.0,20.0,15.1,15.0,MISMATCH
v2,L,LoRA,8,0.2,11.0,21.0,16.0,16.05,trunc
v2,L,DoRA,4,0.1,30.0,44.0,37.0,37.0,
v2,M,Series,,0.9,1.0,2.0,1.5,1.5,
X-README,L,LoRA,4,0.1,50.0,60.0,55.0,55.0,
"""


def exhibit(tmp_path, text):
    path = tmp_path / "numbers.csv"
    path.write_text(text)
    return dataclasses.replace(exhibits.load("dora-table15"), published=path)


@pytest.fixture
def runs(make_run):
    """Two methods at two ranks, each on two test sets."""
    found = []
    for method in ("lora", "dora"):
        for rank in (4, 8):
            for seed in (0, 1, 2):
                run = make_run(method, "micro/qa", seed, fields={"rank": rank})
                shares = {"ab": 0.1 * rank + 0.01 * seed, "cd": 0.5, "validation": 0.5}
                sets = {name: {"accuracy": share, "n": 500} for name, share in shares.items()}
                scores = {name: {"step": 200, "sets": sets} for name in ("best", "last")}
                facts = {**run.record["task_facts"], "tests": ["ab", "cd"]}
                found.append(dataclasses.replace(run, record={**run.record, "scores": scores, "task_facts": facts}))
    return found


def made(tmp_path, runs, text):
    (one,) = study.studies(exhibit(tmp_path, text), runs)
    return published.table(one)


def texts(table):
    return [tuple(entry.text for entry in row) for row in table.rows]


def test_each_of_our_arms_is_followed_by_the_rows_that_print_it(tmp_path, runs):
    table = made(tmp_path, runs, f"{HEAD}\n{ROWS}")
    assert table.columns == ("method", "by", "AB", "CD", "mean", "trains")
    heads = [(row[0].split(" (")[0], row[1]) for row in texts(table)]
    assert heads == [
        ("lora rank=4", "ours"),
        ("lora rank=4", "L"),
        ("lora rank=8", "ours"),
        ("lora rank=8", "L"),
        ("dora rank=4", "ours"),
        ("dora rank=4", "L"),
        ("dora rank=8", "ours"),
        ("Series", "M"),
    ]
    assert texts(table)[1][2:] == ("10.0", "20.0", "15.1", "0.1 %")
    assert table.rows[0][2].value == pytest.approx(41.0)
    assert table.rows[0][2].keys


def test_flags_and_other_versions_are_sentences(tmp_path, runs):
    table = made(tmp_path, runs, f"{HEAD}\n{ROWS}")
    assert not any("MISMATCH" in text or "trunc" in text for row in texts(table) for text in row)
    assert "LoRA rank=4, L: 15.1 is printed, but the mean of the printed columns is 15.0" in table.notes
    assert "LoRA rank=8, L: 16.0 is printed, cut, not rounded" in table.notes
    assert "LoRA rank=4, L: 15.1 in v2, 15.0 in v1, 55.0 in X-README" in table.notes
    assert "DoRA rank=4, L: 37.0 in v2, 35.0 in v1" in table.notes


def test_a_column_says_which_arm_of_ours_a_row_is_of(tmp_path, runs):
    text = (
        f"{HEAD},ours\nv1,L,Half,16,0.1,10.0,20.0,15.0,15.0,,dora rank=8|32\nv1,L,LoRA,32,0.1,1.0,2.0,1.5,1.5,,other\n"
    )
    heads = [(row[0].split(" (")[0], row[1]) for row in texts(made(tmp_path, runs, text))]
    assert heads[-3:] == [("dora rank=8", "ours"), ("dora rank=8", "L"), ("LoRA rank=32", "L")]


def test_what_is_published_only_has_no_flags(tmp_path):
    table = published.alone(exhibit(tmp_path, f"{HEAD}\n{ROWS}"))
    assert table.columns == ("backbone", "method", "rank", "params_pct", "AB", "CD", "avg_reported")
    assert len(table.rows) == 4
    assert any("15.1 is printed" in note for note in table.notes)


@pytest.mark.parametrize("name", ["dora-table1", "dora-table5", "dora-table6", "dora-table7", "dora-table15"])
def test_every_row_that_names_an_arm_of_ours_has_one_in_our_reference(name):
    from harness.store import archive

    shown = exhibits.load(name)
    for one in study.studies(shown, archive.from_archive(archive.reference(shown.cells_of))):
        rows = [row for row in published.latest(one.published) if row.get("ours")]
        lacking = {row["ours"] for row in rows if not any(published.belongs(one, arm, row) for arm in one.clean.arms)}
        assert not lacking


def test_a_table_of_one_model_may_name_none(tmp_path, runs):
    table = made(tmp_path, runs, "method,rank,AB,CD,avg_reported\nLoRA,4,10.0,20.0,15.0\nOther,,1.0,2.0,1.5\n")
    assert [row[:2] for row in texts(table) if row[1] == "the paper"] == [
        ("lora rank=4", "the paper"),
        ("Other", "the paper"),
    ]


def test_a_file_without_scores_stands_alone(tmp_path, runs):
    table = made(tmp_path, runs, "quantity,method,rank\nscore,lora,1\nscore,dora,2\n")
    assert "by" not in table.columns
    assert len(table.rows) == 2


def test_published_memory_stands_beside_the_forecast_of_the_same_rows(tmp_path):
    name = "dora-table7-memory"
    rows = exhibit_rows.load(assets.reference() / name)
    (one,) = forecast_memory.studies(exhibits.load(name), rows)
    table = published.table(one)
    lines = {entries[:2]: dict(zip(table.columns, entries, strict=True)) for entries in texts(table)}
    printed = lines["dora detach=True", "LLaMA-7B, GB"]
    assert (printed["memory at 4"], printed["memory at 16"], printed["trains"]) == ("28.2", "—", "0.84 %")
    assert lines["dora detach=False", "VL-BART, GB"]["memory at 300"] == "23.4"
    ours = lines["dora detach=True", "ours, forecast in GiB"]
    assert ours["memory at 4"] == forecast_memory.peak(one, one.at("dora detach=True", 4)).text
    assert [row[0] for row in texts(table)][:3] == ["lora", "dora detach=False", "dora detach=False"]
