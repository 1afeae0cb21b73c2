"""Plans say what fits a device."""

import json
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.forecast import client, device_fit

pytestmark = pytest.mark.usefixtures("here")
WORDS = ("method=full,lora", "recipe.batch_size=8,64", "seed=0,1")


def test_a_plan_says_what_fits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = f"store={tmp_path / 'store'}"
    assert dispatch.main(["plan", *WORDS, store, "--device-memory", "540MiB"]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if " no " in line or " yes " in line]
    assert len(lines) == 4  # a method and a batch size each: two seeds are one line
    assert "of 8 cells fit a device of 540 MiB" in out
    assert dispatch.main(["plan", "method=lora", "seed=0", store, "--device-memory", "80GiB", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["cells"]
    assert all(row["memory"]["fits"] and row["memory"]["largest_batch"] >= 64 for row in rows)


def test_without_a_device_a_plan_needs_no_torch(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "device_memory", lambda: None)
    monkeypatch.setattr(client, "ask", None)
    assert dispatch.main(["plan", *WORDS, f"store={tmp_path / 'store'}"]) == 0
    assert "fit a device" not in capsys.readouterr().out


def test_a_dry_run_says_what_fits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("task=micro/qa", "seed=1", f"store={tmp_path / 'store'}", "--dry-run", "--device-memory", "1GiB")
    assert dispatch.main(["reproduce", "delta-ranking", *words]) == 0
    assert "cells fit a device of 1.00 GiB" in capsys.readouterr().out
    assert not (tmp_path / "store" / "cells").exists()


@pytest.mark.parametrize(
    ("needs", "share"),
    [([1.0], 2 / 12), ([1.0, 4.0], 6 / 12), ([20.0], 1.0), ([1.0, "no forecast"], 1.0)],
    ids=["small", "the largest counts", "too large", "unknown"],
)
def test_a_cell_gets_the_share_of_a_gpu_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, needs: list[float | str], share: float
) -> None:
    """A device of ten: with a tenth more than its forecast, one is 1.3 twelfths, so it gets two."""
    answers = [{"needs_bytes": need} if isinstance(need, float) else need for need in needs]
    monkeypatch.setattr(client, "device_memory", lambda: 10.0)
    monkeypatch.setattr(device_fit, "forecasts", lambda many, memory: dict(enumerate(answers)))
    assert device_fit.share([]) == pytest.approx(share)


def test_without_a_gpu_there_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "device_memory", lambda: None)
    assert device_fit.share([]) is None
