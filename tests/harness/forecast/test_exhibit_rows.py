"""Exhibits of forecasts: tables, figure and verdicts from rows; what does not fit and what was measured are shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import assets
from harness.analysis import report
from harness.analysis.views import forecast_memory
from harness.cli import dispatch
from harness.config.step_load import Load
from harness.errors import UsageError
from harness.experiments import exhibits
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import grid
from harness.forecast import exhibit_rows
from harness.store import identity

GIB = 2**30
NAMES = [name for name in exhibits.names() if exhibits.load(name).forecast]
YAML = """
title: t
source: s
ceiling: big
view: [memory, memory-split, forecast-accuracy, memory-figure]
claims:
  - {claim: saves-up-to, share: 0.75}
  - {claim: saves-at-least, share: 0.5, from_batch: 8}
forecast: {input_tokens: 16, device_memory: 10GiB}
grid: {quick: [{method: [big, small], model: m, task: t, seed: 0}]}
"""


def _exhibit(folder: Path, text: str = YAML) -> Exhibit:
    path = folder / "mine.yaml"
    path.write_text(text)
    return exhibits.read(path)


def _row(method: str, batch: int, gib: float | None, measured: Any = None, model: str = "m") -> dict[str, Any]:
    cell = {"method": {"name": method}, "model": {"name": model}, "recipe": {"batch_size": batch}}
    figures = {
        "peak_bytes": int((gib or 0) * GIB), "needs_bytes": int((gib or 0) * GIB), "attention": ["math"],
        "split": dict.fromkeys(forecast_memory.PARTS, int((gib or 0) * GIB / 5)),
        "phases": {"forward": 1, "backward": 2},
        "input_tokens": 16, "target_tokens": 4, "precision": "fp32", "checkpointing": False,
        "parameters": {"delta": 7, "head": 0, "backbone": 100},
    }  # fmt: skip
    forecast = None if gib is None else figures
    return {
        "key": f"{method}-{batch}-{model}", "cell": cell, "forecast": forecast, "reason": "" if forecast else "why",
        "measured": measured,
    }  # fmt: skip


def _found(folder: Path, *rows: dict[str, Any]) -> dict[str, Any]:
    report.render(_exhibit(folder), "quick", list(rows), folder / "out")
    index: dict[str, Any] = json.loads((folder / "out" / report.INDEX).read_text())
    return index


def _verdicts(index: dict[str, Any]) -> list[str]:
    return [finding["verdict"] for finding in index["findings"]]


def test_there_are_exhibits_of_forecasts() -> None:
    """Most ask whether cells fit a device; one may ask for their operations alone."""
    assert len([name for name in NAMES if exhibits.load(name).device_bytes]) >= 2


@pytest.mark.parametrize(
    ("small", "verdicts"),
    [
        ((1.0, 4.0), ["reproduced", "reproduced"]),
        ((3.0, 4.0), ["contradicted", "reproduced"]),
        ((0.2, 4.0), ["contradicted", "reproduced"]),  # 95 % is not what was printed as 75 %
        ((1.0, 9.0), ["reproduced", "contradicted"]),
        ((1.0, 1.0), ["reproduced", "reproduced"]),  # 88 % is at least 50 %
        ((None, 9.0), ["untested", "contradicted"]),
    ],
)
def test_verdicts_are_arithmetic(tmp_path: Path, small: tuple[float, float], verdicts: list[str]) -> None:
    rows = [_row("big", 1, 4.0), _row("big", 8, 8.5), _row("small", 1, small[0]), _row("small", 8, small[1])]
    index = _found(tmp_path, *rows)
    assert _verdicts(index) == verdicts
    assert all("by forecast" in finding["sentence"] for finding in index["findings"])
    assert all(row["low"] is row["p"] is None for finding in index["findings"] for row in finding["comparisons"])


def test_what_does_not_fit_is_shown_as_such(tmp_path: Path) -> None:
    index = _found(tmp_path, _row("big", 1, 12.0), _row("small", 1, 4.0))
    (table,) = [table for table in index["tables"] if table["name"] == "memory"]
    texts = {row[0]["text"]: row[2]["text"] for row in table["rows"]}
    assert texts == {"big": "12.00 oom", "small": "4.00"}
    assert (tmp_path / "out" / "memory-figure.png").stat().st_size > 5000


def test_measured_stands_beside_the_forecast(tmp_path: Path) -> None:
    about = {"device": "GPU", "torch": "2", "cuda": "12"}
    done = {**about, "status": "done", "allocated_bytes": int(4.1 * GIB)}
    index = _found(tmp_path, _row("big", 1, 9.0, {**about, "status": "oom"}), _row("small", 1, 4.0, done))
    (table,) = [table for table in index["tables"] if table["name"] == "forecast-accuracy"]
    assert [[entry["text"] for entry in row[3:]] for row in table["rows"]] == [
        ["9.000", "oom", "—"],
        ["4.000", "4.100", "-2.4"],
    ]
    (first,) = [table for table in index["tables"] if table["name"] == "memory"]
    assert first["rows"][0][2]["text"] == "9.00 oom"  # it was measured to be so, whatever the exhibit's device


def test_a_missing_forecast_has_its_reason(tmp_path: Path) -> None:
    index = _found(tmp_path, _row("big", 1, 4.0), _row("small", 1, None))
    (table,) = [table for table in index["tables"] if table["name"] == "memory"]
    assert "small: why" in table["notes"]


def test_rows_go_and_come(tmp_path: Path) -> None:
    rows = [_row("big", 1, 4.0), _row("small", 1, None)]
    exhibit_rows.save(tmp_path, rows)
    assert exhibit_rows.load(tmp_path) == rows
    with pytest.raises(UsageError, match="does not hold"):
        exhibit_rows.load(tmp_path / "nowhere")
    assert exhibit_rows.differing(rows, rows) == []
    (line,) = exhibit_rows.differing([_row("big", 1, 4.2)], rows)
    assert "4.20 GiB here, 4.00" in line


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("{tokens: 3}", "tokens"),
        ("{input_tokens: many}", "int"),
        ("{checkpointing: 3}", "bool"),
        ("{input_tokens: 0}", "1 to"),
        ("7", "mapping"),
        ("{device_memory: big}", "24GiB"),
    ],
)
def test_a_bad_load_is_named(tmp_path: Path, said: str, wanted: str) -> None:
    text = YAML.replace("{input_tokens: 16, device_memory: 10GiB}", said)
    with pytest.raises(UsageError, match=wanted):
        _exhibit(tmp_path, text)


def test_the_load_is_the_exhibits() -> None:
    exhibit = exhibits.load(NAMES[0])
    assert isinstance(exhibit.forecast, Load)


REFERENCES = [name for name in NAMES if (assets.reference() / name / exhibit_rows.ROWS).is_file()]


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_is_of_the_exhibits_cells(name: str) -> None:
    exhibit = exhibits.load(name)
    rows = exhibit_rows.load(assets.reference() / name)
    wanted = grid.expand(exhibit.blocks(next(iter(exhibit.grids))))
    assert [row["key"] for row in rows] == [identity.key(cell) for cell in wanted]
    assert all(row["forecast"] and not row["reason"] for row in rows)


@pytest.mark.usefixtures("here")
def test_the_same_forecasts_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path: made by one command, held against by another; a changed reference is told."""
    monkeypatch.setattr(assets, "reference", lambda: tmp_path)
    words = (NAMES[0], "model=micro-t5-nano", "method=full,lora", "recipe.batch_size=1,8")
    assert dispatch.main(["reproduce", *words, "--out", str(tmp_path / NAMES[0])]) == 0
    assert "by forecast" in " ".join(capsys.readouterr().out.split())
    assert dispatch.main(["check", *words]) == 0
    assert "4 forecasts, 0 differ" in capsys.readouterr().out
    rows = exhibit_rows.load(tmp_path / NAMES[0])
    rows[0]["forecast"]["peak_bytes"] *= 2
    exhibit_rows.save(tmp_path / NAMES[0], rows)
    assert dispatch.main(["check", *words]) == 1
    assert "in the reference" in capsys.readouterr().out


def test_two_arms_are_compared_at_the_printed_batch_on_both_sides(tmp_path: Path) -> None:
    claim = "claims: [{claim: saves-against, left: small, right: big, share: 0.375, batch: 8}]\nforecast"
    text = YAML[: YAML.index("claims")] + claim + YAML[YAML.index("forecast:") + len("forecast") :]
    for small, verdict in ((5.0, "reproduced"), (5.6, "contradicted"), (4.0, "contradicted"), (None, "untested")):
        rows = [_row("big", 1, 4.0), _row("big", 8, 8.0), _row("small", 1, 1.0), _row("small", 8, small)]
        report.render(_exhibit(tmp_path, text), "quick", rows, tmp_path / "out")
        (finding,) = json.loads((tmp_path / "out" / report.INDEX).read_text())["findings"]
        assert finding["verdict"] == verdict
        assert finding["sentence"].startswith("small saves 37.5% of the training memory of big at batch 8: ")


def test_the_least_saving_is_of_the_methods_that_the_sentence_names(tmp_path: Path) -> None:
    text = YAML.replace("from_batch: 8}", "from_batch: 8, methods: [small, absent]}")
    text = text.replace("[big, small]", "[big, small, absent]")
    rows = [_row("big", 8, 8.0), _row("small", 8, 2.0), _row("poor", 8, 7.0)]
    report.render(_exhibit(tmp_path, text), "quick", rows, tmp_path / "out")
    named, at_least = json.loads((tmp_path / "out" / report.INDEX).read_text())["findings"]
    assert "the least of small is 75%, by small at batch 8" in at_least["sentence"], "poor saves 12 %"
    assert "the most is 75%, by small" in named["sentence"]
