"""Records and tables as people read them: units stand with figures, what is missing has its reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import formatting
from harness.cli import record_text
from harness.config import conf_files
from harness.config.schema import Cell
from harness.store import identity, provenance
from harness.store.store import SCHEMA
from methods import registry as methods


@pytest.fixture
def record(cell: Callable[..., Cell]) -> dict[str, Any]:
    point = {"step": 3, "sets": {"test": {"accuracy": 0.51234, "n": 64}}}
    return {
        "schema": SCHEMA, "key": "k", "status": "done", "attempt": 1, "cell": identity.to_json(cell("lora")),
        "scores": {"best": point, "last": point}, "parameters": {"delta": 12288},
        "memory": {"train": {"process_bytes": 321_150_976, "nvml_device_bytes": None}, "why_null": {"nvml": "no GPU"}},
        "time": {"load_s": 0.0521, "wall_s": 5.1, "steps": 3, "tokens_per_s": 10474.4, "examples_per_s": None,
                 "step_ms": {"median": 63.81, "p95": 121.0}},
        "notes": {"device": "cpu", "merged": False, "cut": {"train": 2}}, "error": None,
        "provenance": {"deltabench": "1.2", "git": "0123456789", "packages": {"torch": "9.9"}, "fingerprint": None},
    }  # fmt: skip


def test_a_full_disk_is_told_with_its_remedy_and_without_the_trace(record: dict[str, Any]) -> None:
    file = "[Errno 28] No space left on device: '/disk/delta-best.safetensors'"
    record |= {"status": "failed", "error": {"kind": "io", "type": "OSError", "message": file, "log": ["Traceback"]}}
    text = record_text.text(record, [])
    assert f"OSError: {file}" in text
    assert text.endswith("Free space, and add rerun=failed")
    assert "Traceback" not in text


def test_figures_have_units_and_reasons(record: dict[str, Any]) -> None:
    told = record_text.text(
        record, [{"step": 0, "scores": {"validation": 0.25}}, {"step": 3, "scores": {"validation": 0.5}}]
    )
    for part in (
        "rank=4 targets=[q,v]",
        "step 3: test accuracy 0.512, n 64",
        "delta 12,288",
        "load 0.0521 s, wall 5.1 s, steps 3, tokens 10,474/s, step median 63.8 ms p95 121 ms",
        "train: process 321 MB",
        "no nvml: no GPU",
        "device cpu, merged false, cut train: 2",
        "deltabench 1.2, git 0123456, torch 9.9",
        "▁█ 0.250 to 0.500   validation, steps 0 to 3",
    ):
        assert part in told
    assert "None" not in told


def test_the_size_is_the_one_that_was_solved_for_a_budget(record: dict[str, Any]) -> None:
    record["cell"]["method"] = {"name": "lora", **methods.resolve("lora", {"budget": 0.1})}
    record["notes"] = {"solved_rank": 15}
    line = next(line for line in record_text.text(record, []).splitlines() if line.startswith("method"))
    assert "rank=15 " in line
    del record["notes"]["solved_rank"]
    line = next(line for line in record_text.text(record, []).splitlines() if line.startswith("method"))
    assert " rank=" not in line
    assert line.endswith("budget=0.1")


def test_the_score_stands_first_in_the_unit_of_tables(record: dict[str, Any]) -> None:
    told = record_text.text({**record, "task_facts": {"metric": "accuracy", "tests": ["test"]}}, []).splitlines()
    assert told[2] == "score      test accuracy 51.2 at step 3 (points of 100)"
    assert not record_text.text({**record, "scores": {}}, []).splitlines()[2].startswith("score")


def test_a_device_is_shown_with_joules_per_point_and_who_else_was_on_it(record: dict[str, Any]) -> None:
    device = {
        "name": "H100", "driver": "9.9", "uuid": "GPU-1", "others": 2, "energy_j": {"train": 90.0, "run": 102.468},
        "power_w": {"train": 310.0, "load": None}, "utilisation": {"train": 88.0},
        "sampling": {"interval_ms": 10.0, "samples": 5, "thread_share": 0.004}, "why_null": {"nvml_others": "hidden"},
    }  # fmt: skip
    flops = {"step": 3.2e9, "rows": 32, "per_s": 5e12, "share": 0.25, "peak_of": "a data sheet"}
    facts = {"metric": "accuracy", "tests": ["test"]}
    told = record_text.text({**record, "device": device, "flops": flops, "task_facts": facts}, [])
    for part in (
        "H100 (driver 9.9), energy J 102, energy J per point of score 2, train W 310, train busy % 88",
        "read every 10 ms for 0.4 % of one core",
        "2 other process(es) used the device",
        "no nvml_others: hidden",
        "3.2 GFLOP per step of 32 rows, 5e+03 GFLOP/s, 25 % of the peak (a data sheet)",
    ):
        assert part in told
    assert "None" not in told
    for broken in ({}, {"uuid": "GPU-1"}, {"uuid": "GPU-1", "energy_j": {"run": None}, "sampling": None}):
        assert "energy" not in record_text.text({**record, "device": broken}, [])


def test_an_attempt_that_measured_nothing_can_be_shown(record: dict[str, Any]) -> None:
    empty = {part: {} for part in ("scores", "parameters", "memory", "time", "notes", "provenance")}
    error = {"type": "Died", "message": "the process was ended by SIGKILL", "log": ["last words"]}
    told = record_text.text({**record, **empty, "status": "failed", "error": error}, [])
    assert "Died: the process was ended by SIGKILL" in told
    assert "last words" in told


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("parameters", {"delta": "many"}),
        ("memory", {"train": 3, "why_null": 4}),
        ("time", {"wall_s": [1], "step_ms": {"median": "a"}}),
        ("flops", {"step": "x"}),
        ("device", {"uuid": 1, "power_w": 3}),
        ("notes", {"a": {"b": [None]}}),
        ("provenance", {"git": 3, "packages": []}),
        ("error", {"log": [3]}),
        ("cell", {}),
    ],
)
def test_a_part_that_cannot_be_read_hides_no_other(record: dict[str, Any], part: str, broken: Any) -> None:
    told = record_text.text({**record, part: broken}, [])
    assert "step 3: test accuracy 0.512" in told
    assert "fingerprint" not in told


def test_nothing_steers_the_terminal(record: dict[str, Any]) -> None:
    error = {"type": "Error", "message": "\x1b[2J\x07 wiped \ud800", "log": ["\x1b]0;title\x07", "a\tb é"]}
    told = record_text.text({**record, "error": error}, [])
    assert "\\x1b[2J\\x07 wiped" in told
    assert "a\tb é" in told
    assert all(sign.isprintable() or sign in "\n\t" for sign in told)


def test_a_plot_has_its_ends_and_every_point() -> None:
    lines = record_text.plot([(0, 0.25), (50, 0.75), (100, 0.5)], width=21, height=5)
    assert lines == [
        "0.75 |          •",
        "     |",
        "     |                    •",
        "     |",
        "0.25 |•",
        "     +---------------------",
        "      0                 100",
    ]
    assert record_text.plot([]) == []
    assert len(record_text.plot([(3, 1.0)])) == len(record_text.plot([(3, 1.0), (3, 1.0)])) == record_text.HEIGHT + 2
    assert all(len(line) <= record_text.WIDTH + 12 for line in record_text.plot([(0, -1.7e308), (10**15, 1.7e308)]))


def test_a_series_is_of_what_was_measured() -> None:
    curve = [{"step": 0, "scores": {"validation": 0.5}}, {"step": 1}, {"step": "x", "scores": {"validation": 1}}]
    assert record_text.series([*curve, {"step": 2, "scores": {"validation": None}}]) == [(0, 0.5)]


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert formatting.aligned([("name", "n"), ("a", "10")], right=[1]) == "name   n\na     10"


def test_a_header_is_its_first_sentences_without_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text, about in (
        ("# LoRA: W + B A.   deltabench run method=lora\nname: lora\n", "LoRA: W + B A."),
        ("# Two lines that\n# belong together.\n# And more.\nname: a\n", "Two lines that belong together."),
        ("# No full stop\n# deltabench run method=a\nname: a\n", "No full stop"),
        ("name: a\n# later\n", ""),
    ):
        path.write_text(text)
        assert conf_files.header(path) == about


def test_a_checkout_knows_its_version() -> None:
    assert provenance.own_version()
    assert provenance.gather()["deltabench"] == provenance.own_version()
