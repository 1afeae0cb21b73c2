"""A record as one flat row: each field and figure has a column, a declared type, and the record's own value."""

import pytest

from harness.store import columns
from methods import registry as methods

RECORD = {
    "cell": {
        "method": {"name": "lora", "rank": 4, "targets": ["q", "v"], "rslora": False},
        "model": {"name": "m", "family": "t5"},
        "task": {"name": "t", "digest": "d", "data_dir": "/home/someone/rows"},
        "recipe": {"name": "r", "learning_rate": 1, "batch_size": 8},
    },
    "scores": {"best": {"step": 3, "sets": {"test": {"accuracy": 0.5, "n": 4}}}},
    "parameters": {"delta": 7},
    "memory": {"train": {"live_bytes": 12, "torch_allocated_bytes": None}, "why_null": {"torch": "on the CPU"}},
    "time": {"train_s": 2, "step_ms": {"median": 1.5}},
    "flops": {"step": 10**12, "share": None, "why_null": {"share": "no peak is known"}},
    "device": {"name": "cpu", "energy_j": None},
    "error": {"kind": "memory", "type": "Killed", "message": "no memory", "log": ["a", "b"]},
}


def test_fields_and_figures_have_columns_of_their_declared_type() -> None:
    row = columns.flat(RECORD)
    kinds = columns.kinds([row])
    found = {name: (columns.cast(row[name], kind), kind) for name, kind in kinds.items()}
    expected = {
        "method.rank": (4, "int64"),
        "method.targets": ("[q,v]", "string"),
        "method.rslora": (False, "bool"),
        "recipe.learning_rate": (1.0, "float64"),
        "recipe.steps": (200, "int64"),
        "task.train_size": (None, "int64"),
        "scores.best.test.accuracy": (0.5, "float64"),
        "scores.best.test.n": (4, "int64"),
        "parameters.delta": (7, "int64"),
        "memory.train.live_bytes": (12, "int64"),
        "memory.train.torch_allocated_bytes": (None, "int64"),
        "memory.why_null.torch": ("on the CPU", "string"),
        "time.train_s": (2.0, "float64"),
        "time.step_ms.median": (1.5, "float64"),
        "flops.step": (1e12, "float64"),
        "flops.why_null.share": ("no peak is known", "string"),
        "device.name": ("cpu", "string"),
        "device.energy_j": (None, "float64"),
        "error.kind": ("memory", "string"),
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not [name for name in kinds if "data_dir" in name or "log" in name]
    assert next(iter(kinds)) == "method.rank"


def test_a_figure_that_other_records_split_has_no_column_of_its_own() -> None:
    other = {**RECORD, "device": {"name": "gpu", "energy_j": {"run": 5.0}}}
    kinds = columns.kinds(map(columns.flat, (RECORD, other)))
    assert "device.energy_j" not in kinds
    assert kinds["device.energy_j.run"] == "float64"


@pytest.mark.parametrize(
    ("value", "kind", "cast"),
    [
        (2**70, "int64", None),
        ("12", "int64", None),
        (1.5, "int64", None),
        (2.0, "int64", 2),
        (True, "float64", None),
        (0, "bool", None),
        ("a\ud800", "string", "a?"),
        ({"b": 1}, "string", "b: 1"),
    ],
)
def test_a_value_of_another_type_is_null(value: object, kind: str, cast: object) -> None:
    assert columns.cast(value, kind) == cast


@pytest.mark.parametrize("name", [name for name, entry in methods.catalogue().items() if methods.size_of(entry)])
def test_a_size_that_a_budget_chooses_is_the_one_that_was_solved(name: str) -> None:
    """The cell has it at its default, which did not train."""
    size = f"method.{methods.size_of(methods.find(name))}"
    cell = {**RECORD["cell"], "method": {"name": name, **methods.resolve(name, {"budget": 0.1})}}  # type: ignore[dict-item]
    assert columns.flat({"cell": cell})[size] is None
    assert columns.flat({"cell": cell, "notes": {size.replace("method.", "solved_"): 5}})[size] == 5
    plain = {**cell, "method": {"name": name, **methods.resolve(name, {})}}
    assert columns.flat({"cell": plain, "notes": {}})[size] == plain["method"][size.removeprefix("method.")]
