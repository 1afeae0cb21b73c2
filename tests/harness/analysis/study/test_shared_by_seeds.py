"""Intervals over seeds leave out what all seeds share; the notes of a finding say so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.study import shared_by_seeds, study
from harness.experiments import exhibits
from harness.experiments.verdict import Comparison
from methods import registry as methods
from tests.harness import made_runs


def notes(
    method: str = "lora", fields: dict[str, Any] | None = None, rows: int | None = None, compared: str = ""
) -> Sequence[str]:
    """Return the notes of three seeds of one method, none of which only chooses rates."""
    runs = []
    for seed in range(5, 8):
        made = made_runs.run(method, "micro/sentiment", seed, fields=fields)
        task = {**made.record["cell"]["task"], "train_size": rows}
        runs.append(replace(made, record={**made.record, "cell": {**made.record["cell"], "task": task}}))
    (here,) = study.studies(exhibits.load("delta-ranking"), runs)
    return shared_by_seeds.notes(here, [Comparison(f"{compared or method} rank=1", "full", "above", "inconclusive")])


def test_methods_whose_choices_do_not_follow_the_seed_are_named() -> None:
    drawn = {(name, field) for name, entry in methods.catalogue().items() for field in entry.fields if "_seed" in field}
    assert ("selective", "selection_seed") in drawn
    for name, field in drawn:
        [note] = notes(name, {field: 0})
        assert f"all seeds share the random choices of {name}, by its {field}" in note
    assert not notes("lora", {"rank": 8})
    assert not notes("selective", {"selection_seed": 0}, compared="lora"), "the claim does not compare it"


def test_fewer_orders_than_seeds_are_counted() -> None:
    assert [note for note in notes(rows=1) if "order" in note] == [
        "1 training row has 1 order, fewer than the 3 seeds: some seeds differ in the start of the method and in "
        "dropout alone"
    ]
    assert any(note.startswith("2 training rows have 2 orders") for note in notes(rows=2))
    assert not [note for note in notes(rows=3) if "order" in note], "three rows have six orders"
    assert any("on the same 32 rows" in note for note in notes(rows=32))
