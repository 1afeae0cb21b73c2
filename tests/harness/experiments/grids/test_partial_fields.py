"""A field that some methods of a sweep lack is named before it starts."""

from pathlib import Path
from typing import Any

import pytest

from harness.cli.dispatch import main
from harness.experiments.grids import partial_fields
from methods import registry as methods


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        (
            {"method": ["lora", "dora", "vera", "ia3"], "method.targets": [["all-linear"]]},
            ["method.targets=[all-linear] is a field of lora, dora and vera; ia3 runs without it"],
        ),
        (
            {"method": ["lora", "ia3", "bitfit"], "method.rank": [2, 4], "method.outputs": [["k"]]},
            [
                "method.rank=2,4 is a field of lora; ia3 and bitfit run without it",
                "method.outputs=[k] is a field of ia3; lora and bitfit run without it",
            ],
        ),
        ({"method": ["lora", "dora"], "method.rank": [2]}, []),
        ({"method": ["lora", "ia3"], "recipe.steps": [2]}, []),
        ({"method": "lora", "method.rank": 2}, []),
    ],
)
def test_each_field_has_one_line(block: dict[str, Any], lines: list[str]) -> None:
    assert partial_fields.notes(block) == lines


def test_many_methods_are_counted() -> None:
    [line] = partial_fields.notes({"method": "*", "method.targets": [["q"]]})
    having, lacking = line.removeprefix("method.targets=[q] is a field of ").split("; ")
    number = sum("targets" in entry.fields for entry in methods.catalogue().values())
    assert having.endswith(f" and {number - partial_fields.MOST + 1} other methods")
    assert lacking.startswith("adapter, ")
    assert len(line) < 240


def test_plan_and_sweep_print_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["method=lora,ia3", "method.rank=2", "model=micro-t5-nano", "task=micro/sentiment", f"store={tmp_path}"]
    line = "method.rank=2 is a field of lora; ia3 runs without it\n"
    assert main(["plan", *words]) == 0
    assert line in capsys.readouterr().out
    assert main(["sweep", *words, "recipe.steps=0", "launcher=basic"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(line)
    assert "2 of 2 cells to run" in printed
