"""Tables have the order of the exhibit's grid, whether the records come from a store or, by key, from an archive."""

import random

import pytest

from harness import assets
from harness.analysis.combining import transfer_matrix
from harness.analysis.study import study
from harness.experiments import exhibits
from harness.experiments.grids.blocks import values
from harness.store import archive

MOST_BYTES = 100_000
"""Larger archives take seconds to read."""
SEVERAL = [
    path.parent.name
    for path in sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))
    if path.stat().st_size < MOST_BYTES
    and any(
        len(set(values(block, axis))) > 1
        for blocks in exhibits.load(path.parent.name).grids.values()
        for block in blocks
        for axis in ("task", "model")
    )
]


@pytest.mark.parametrize("name", SEVERAL)
def test_the_order_of_the_records_changes_no_table(name: str) -> None:
    exhibit, runs = exhibits.load(name), archive.from_archive(archive.reference(name))
    shuffled = random.Random(0).sample(runs, len(runs))
    orders = [
        [(made.model, made.clean.arms, made.clean.tasks) for made in study.studies(exhibit, each)]
        for each in (runs, shuffled)
    ]
    assert orders[0] == orders[1]


def test_models_tasks_and_methods_have_the_order_of_the_grid_that_names_them() -> None:
    exhibit = exhibits.load("delta-transfer")
    first, *_ = study.studies(exhibit, archive.from_archive(archive.reference("delta-transfer")))
    matrix = transfer_matrix.read(first)
    named = exhibit.grids["quick"][0]["task"]
    assert list(matrix.tasks) == [task for task in named if task in matrix.tasks]
    assert list(matrix.arms) == list(exhibit.grids["quick"][0]["method"])


def test_names_of_one_pattern_follow_each_other_by_letter() -> None:
    exhibit = exhibits.load("peft-bench")
    tasks = ("squad", "glue/sst2", "piqa", "glue/mnli")
    cells = [{axis: {"name": task if axis == "task" else "x"} for axis in exhibits.AXES} for task in tasks]
    places = exhibit.places(cells)
    assert [tasks[at] for at in sorted(range(4), key=places.__getitem__)] == ["glue/mnli", "glue/sst2", "piqa", "squad"]
