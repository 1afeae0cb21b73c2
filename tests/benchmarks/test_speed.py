"""The parts of the speed suite run on the smallest shape, and unequal sides are refused. No time is asserted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")
pytest.importorskip("accelerate")

import torch

from harness.experiments.grids import grid
from harness.measurement import turns
from harness.store import identity
from tests.benchmarks.speed import __main__ as suite
from tests.benchmarks.speed import cells, machine, ours, parts, report, same_start, steps, theirs
from tests.benchmarks.speed.shapes import SHAPES


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The suite sets one thread, which the tests after it do not expect."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_step_part_runs_and_its_sides_compute_the_same() -> None:
    found = steps.measure("t5-nano", "lora", 1, quick=True)
    assert "refused" not in found
    assert len(found["losses"]["ours"]) == same_start.STEPS
    assert len(set(found["losses"]["ours"])) == same_start.STEPS  # of other batches, or of weights that moved
    assert found["ms"].keys() == {"ours", "trainer", "bare"}
    assert found["ratio"]["bare"]["n"] == 1


def test_another_computation_is_refused(tmp_path: Path) -> None:
    """Here our side has another learning rate."""
    mine = ours.build(SHAPES["t5-nano"].cell("lora", steps=same_start.STEPS))
    other = mine.plan().build(mine.plain)
    mine.cell = replace(mine.cell, recipe=replace(mine.cell.recipe, learning_rate=3e-3))
    found = steps.compare(mine, other, tmp_path)
    assert "the two sides do not compute the same" in found["refused"]
    assert "ms" not in found
    assert "ours / Trainer" not in report.lines(_part("step/t5-nano/lora", found))
    assert cells.different({"ours": 2.0, "trainer": 2.01})
    assert not cells.different({"ours": 2.0, "trainer": 2.0001})


def test_a_decoder_s_rows_have_the_answer_right_behind_the_prompt() -> None:
    inputs, labels = torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([[1, 2], [3, theirs.IGNORED]])
    rows = theirs.Rows.of("causal", inputs, torch.tensor([2, 3]), labels)
    batch = rows.collate([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6, 1, 2], [7, 8, 9, 3]]
    assert batch["labels"].tolist() == [[-100, -100, 1, 2], [-100, -100, -100, 3]]
    assert rows.collate([0])["attention_mask"].tolist() == [[1, 1, 1, 1]]


def test_the_shapes_have_the_sizes_in_their_names() -> None:
    from harness.models import backbone
    from harness.models.head import Head

    for name, kind in (("t5-60m", "seq2seq_lm"), ("llama-60m", "causal_lm")):
        model = backbone.outline(SHAPES[name].cell("full").model, Head(kind))
        assert 55e6 < sum(p.numel() for p in model.parameters()) < 65e6
        assert model.config.vocab_size >= 32_000


def test_a_figure_has_its_spread() -> None:
    assert turns.spread([3.0, 1.0, 2.0]) == {
        "median": 2.0, "quartiles": [1.5, 2.5], "least": 1.0, "most": 3.0, "n": 3,
    }  # fmt: skip
    assert turns.spread([4.0])["quartiles"] == [4.0, 4.0]
    assert turns.ratio([1.0, 3.0], [2.0, 2.0])["median"] == 1.0
    assert [turns.in_turn("abc", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]


def _part(name: str, found: Any) -> dict[str, Any]:
    about = {"part": name, "begun": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:01:00Z", "alternations": 1}
    return {**about, "load_before": 0.5, "load_after": 1.5, "machine": machine.machine(), "figures": found}


def _written(folder: Path, name: str, found: Any) -> None:
    (folder / f"{name.replace('/', '-')}.json").write_text(json.dumps(_part(name, found)))


def test_the_table_shows_every_kind_of_part(tmp_path: Path) -> None:
    one, two = turns.spread([10.0]), turns.spread([10.0, 30.0])
    times = {"ours": two, "trainer": two, "bare": two}
    both = {"trainer": turns.ratio([1.0, 1.0], [2.0, 4.0]), "bare": one}
    _written(tmp_path, "step/t5-nano/lora", {"ms": times, "ratio": both, "processor_ratio": both})
    _written(tmp_path, "start-up", {"seconds": {"deltabench --help": one}})
    seconds = dict.fromkeys(("total", "training", "evaluation", "around"), one)
    cell = {
        "seconds": {"ours": seconds, "trainer": seconds},
        "ratio": {"trainer": one},
        "ratio_without_evaluation": both,
    }
    _written(tmp_path, "cell/t5-nano/full", cell)
    _written(tmp_path, "memory/t5-nano/full", {"mib_above_loaded": times, "ratio": both})
    total = {"ours": {"total": one}, "trainer": {"total": one}}
    _written(tmp_path, "grid/t5-nano", {"cells": 18, "seconds": total, "ratio": {"trainer": one}})
    report.write(tmp_path, parts.ORDER)
    page = (tmp_path / report.TABLE).read_text()
    assert [f"## {title}" in page for title in report.KINDS.values()] == [True] * len(report.KINDS)
    assert "| 0.375 (0.250 to 0.500) |" in page
    assert "load 0.5 to 1.5" in page
    assert report.BUSY not in page or machine.machine()["cores"] == 1
    assert "| `deltabench --help` | 10.0 | 1 |" in page


def test_the_table_warns_of_a_busy_machine(tmp_path: Path) -> None:
    busy = {**_part("start-up", {"seconds": {}}), "load_after": 1000.0}
    (tmp_path / "start-up.json").write_text(json.dumps(busy))
    report.write(tmp_path, parts.ORDER)
    assert report.BUSY in (tmp_path / report.TABLE).read_text()


def test_parts_are_chosen_by_pattern_and_kept_when_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [part.name for part in parts.chosen("step/*-nano/lora,start-up", quick=False)] == [
        "step/t5-nano/lora", "step/llama-nano/lora", "start-up",
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="--only stepp: no part has this name"):
        parts.chosen("stepp", quick=False)
    quick = [part.name.partition("/")[0] for part in parts.chosen(None, quick=True)]
    assert quick == [*dict.fromkeys(quick)]
    assert set(quick) == set(report.KINDS)
    monkeypatch.setattr(parts, "QUICK", parts.QUICK[:1])
    _written(tmp_path, parts.QUICK[0], {"refused": "not compared"})
    assert suite.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "measured before by this commit" in capsys.readouterr().out
    assert not parts.there(tmp_path / "step-t5-nano-lora.json", alternations=2)


def test_the_sweep_of_a_grid_has_the_cells_of_its_scripts() -> None:
    own = SHAPES["t5-nano"]
    chosen = {"method": ["full", "lora"], "task": ["micro/sentiment-goods"], "seed": [0, 1], "steps": 4, "every": 2}
    block = {**own.words, **own.recipe(steps=4, evaluate_every=2), "method": ["full", "lora"], "seed": [0, 1]}
    assert {identity.key(cell) for cell in cells.cells_of(own, chosen)} == set(map(identity.key, grid.expand([block])))


@pytest.mark.slow
def test_the_whole_suite_runs_once(tmp_path: Path) -> None:
    assert suite.main(["--quick", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.json"))) == len(parts.QUICK)
    assert "the two sides do not compute the same" not in (tmp_path / report.TABLE).read_text()
