"""Operations counted on the meta device, and what a grid that nobody can run here is said to take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import assets
from harness.cli import dispatch
from harness.config.schema import Cell
from harness.config.step_load import Load
from harness.forecast import client, compute, gpu_hours
from harness.training import step_profile

Make = Callable[..., Cell]


def _operations(made: Cell, load: Load, rows: int) -> int:
    from harness.store import identity as cells

    (told,) = compute.answers([(cells.to_json(made), vars(load), [rows], None)])
    assert isinstance(told, list), told
    return int(told[0]["operations"])


@pytest.mark.parametrize(("method", "passes"), [("full", 6), ("lora", 4)])
def test_two_operations_a_weight_and_token_forward_and_four_or_two_backward(
    cell: Make, method: str, passes: int
) -> None:
    """Kaplan et al. 2020 (arXiv 2001.08361), section 2.1: 6 N per token; frozen weights get no gradient."""
    sizes = yaml.safe_load((assets.conf() / "model" / "llama-7b.yaml").read_text())["architecture"]
    made = cell(method, "llama-7b", task="micro/sentiment", model__architecture={**sizes, "num_hidden_layers": 4})
    tokens = 4 * (64 + 8)
    weights = 4 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert _operations(made, Load(64, 8), 4) == pytest.approx(passes * weights * tokens, rel=0.06)


def test_as_a_run_counts_them(cell: Make) -> None:
    """The same step on the CPU under the counter that records have."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from harness.forecast import synthetic_step
    from harness.forecast.prepared_cell import prepare

    made = cell("lora", recipe__dropout=0.0)
    subject = prepare(made, Load(12, 4), torch.device("cpu"), as_cuda=False)
    batch = synthetic_step.synthetic(subject.load, 3, subject.device)
    with FlopCounterMode(display=False, custom_mapping=step_profile._CPU_ATTENTION) as counter:
        subject.objective.loss(subject.model, batch).backward()
    assert _operations(made, Load(12, 4), 3) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_hours_are_operations_over_a_share_of_the_peak(cell: Make, here: None) -> None:
    made = [cell("lora", seed=seed, recipe__precision="bf16") for seed in (0, 1)]
    (line,) = gpu_hours.lines(made, gpu_hours.DEVICE)
    step = _operations(made[0], Load(), made[0].recipe.batch_size)
    assert line.hours == pytest.approx(2 * made[0].recipe.steps * step / (gpu_hours.SUSTAINED * 312e12) / 3600)
    assert (line.cells, line.batch_size, line.reason) == (2, made[0].recipe.batch_size, "")


def test_grids_share_the_forecasts_of_their_kinds_of_cell(
    cell: Make, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    figures = {"operations": 10**15, "peak_bytes": 2**30}
    monkeypatch.setattr(
        gpu_hours.client, "ask", lambda cells, load: [counts.append(len(cells)) or figures for _ in cells]
    )
    forecasts: gpu_hours.Forecasts = {}
    first = gpu_hours.lines([cell("lora"), cell("lora", seed=1)], gpu_hours.DEVICE, forecasts)
    again = gpu_hours.lines([cell("full"), cell("lora"), cell("lora", seed=1)], gpu_hours.DEVICE, forecasts)
    assert again[1] == first[0]
    assert counts == [1, 1]
    assert len(forecasts) == 2


def test_one_that_cannot_be_forecast_says_why(cell: Make, here: None) -> None:
    bad: Any = cell("lora")
    bad.method.fields["rank"] = 10**6
    (line,) = gpu_hours.lines([bad], gpu_hours.DEVICE)
    assert line.hours is line.peak is None
    assert "rank" in line.reason
    assert "unknown" in gpu_hours.text([line], gpu_hours.DEVICE)


def test_a_dry_run_without_rows_tells_what_all_of_it_would_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of 32 layers take ten seconds, and those of few layers are tested above."""
    figures = {"peak_bytes": 2**30, "operations": 10**15}
    monkeypatch.setattr(client, "ask", lambda many, *_, **__: [figures] * len(many))
    monkeypatch.delenv("DELTABENCH_DATA", raising=False)
    words = ["dora-table7", "scale=paper", "method.detach=true", "--dry-run", f"store={tmp_path / 'store'}"]
    assert dispatch.main(["reproduce", *words]) == 2, "as without --dry-run"
    out, error = capsys.readouterr()
    assert "task.data_dir=FOLDER" in error
    assert "GPU-hours" in out
    assert "6 cells" in out
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("file", "said"), [("commonsense_170k", "maybe"), ("another", "no file for the")])
def test_a_folder_with_wrong_rows_or_without_its_rows_stops_a_dry_run(
    file: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "Is it? \n\nAnswer format: true/false"
    row = {"instruction": asked, "input": "", "output": "the correct answer is maybe", "answer": "maybe"}
    (tmp_path / f"{file}.json").write_text(json.dumps([row]))
    words = ["dora-table7", "scale=paper", "--dry-run", f"task.data_dir={tmp_path}", f"store={tmp_path / 'store'}"]
    assert dispatch.main(["reproduce", *words]) == 2
    told = capsys.readouterr()
    assert "GPU-hours" not in told.out
    assert said in told.err
