"""Several tasks as one: their rows and texts are those of the single tasks, and a test set has its task's name."""

from dataclasses import replace

import pytest

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import glue, mixtures
from tasks import registry as tasks
from tasks.microworld.tasks import TASKS as MICRO

PARTS = ("micro/sentiment-goods", "micro/inference-roles", "micro/qa-choice")


def test_rows_read_as_in_the_single_tasks() -> None:
    whole = tasks.load(TaskConfig("joint/micro"))
    assert tuple(whole.splits.tests) == PARTS
    for name, rows in whole.splits.tests.items():
        own = tasks.load(TaskConfig(name))
        for split, theirs in (("train", whole.splits.train), ("validation", whole.splits.validation), (name, rows)):
            mine = own.splits.named()["test" if split == name else split]
            read = {row.id: (whole.text(row), whole.target(row), row.label) for row in theirs}
            assert {
                f"{name}-{row.id}": (own.text(row), own.target(row), row.label) for row in mine
            }.items() <= read.items()
    sizes = [len(tasks.load(TaskConfig(name)).splits.train) for name in PARTS]
    assert len(whole.splits.train) == sum(sizes)
    assert len({row.id for row in whole.splits.train}) == sum(sizes)


def test_the_order_is_mixed_and_follows_the_seed() -> None:
    def order(seed: int) -> list[str]:
        return [
            row.id.partition("-train")[0] for row in tasks.load(TaskConfig("joint/micro", split_seed=seed)).splits.train
        ]

    first = order(0)
    assert len(set(first[:20])) == len(PARTS)
    assert first != order(1)


@pytest.mark.parametrize("name", ["micro/qa", "micro/instructions"])
def test_a_task_without_options_is_no_part(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be a part: its answers are texts"):
        mixtures.row(MICRO, ("micro/sentiment", name))


def test_a_part_with_two_test_sets_is_refused() -> None:
    made = tasks.load(TaskConfig("micro/sentiment"))
    two = replace(made.splits, tests={"a": made.splits.tests["test"], "b": made.splits.tests["test"]})
    row = replace(MICRO["micro/sentiment"], load=lambda _: two)
    with pytest.raises(UsageError, match="its part micro/sentiment has 2 test sets; it must have one"):
        mixtures.row({"micro/sentiment": row}, ["micro/sentiment"]).load(TaskConfig("joint/x"))


def test_files_of_ones_own_are_refused() -> None:
    with pytest.raises(UsageError, match=r"task\.files: joint/micro has the rows of other tasks"):
        tasks.load(TaskConfig("joint/micro", files=("train=a.csv",)))


def test_parts_of_glue_are_there() -> None:
    assert set(mixtures.TASKS["joint/glue"].notes["parts"].split(", ")) <= set(glue.TASKS)
