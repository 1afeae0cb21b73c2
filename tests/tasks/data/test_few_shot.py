"""Demonstrations: seeded rows of train with their answers, before every row's text, and never its own."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import Runtime, TaskConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.run import run
from harness.store import identity
from harness.store.store import Store
from tasks import registry as tasks
from tasks.base import Example, Splits, Task
from tasks.data import few_shot

WORDS = ("bad", "good")


def _task(rows: int = 30, **fields: str) -> Task:
    many = [Example(f"r{i}", {"text": f"{{row}} {i}"}, label=i % 2) for i in range(3 * rows)]
    splits = Splits(tuple(many[:rows]), tuple(many[rows : 2 * rows]), {"test": tuple(many[2 * rows :])})
    return Task("toy", "toy", "says {text} :", "accuracy", splits, WORDS, max_input_tokens=10, **fields)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\} (\d+) :", text)]


@pytest.mark.parametrize("number", [1, 2, 5, 29])
def test_rows_of_train_with_their_answers_and_never_ones_own(number: int) -> None:
    plain = _task()
    task = few_shot.put(plain, number, seed=4)
    assert task.max_input_tokens == (number + 1) * 10 + number * task.max_target_tokens
    assert task.keep == "end"
    for name, rows in task.splits.named().items():
        for row, before in zip(rows, plain.splits.named()[name], strict=True):
            *shown, own = _numbers(task.text(row))
            assert f"{{row}} {own}" == before.fields["text"]
            assert len(set(shown)) == number
            assert own not in shown
            assert set(shown) <= set(range(30)), "of train"
            assert task.text(row).endswith(plain.text(before))
            assert all(f"{i} : {WORDS[i % 2]}{few_shot.BETWEEN}" in task.text(row) for i in shown)
            assert replace(row, fields=before.fields) == before


def test_the_seed_draws_them_and_reported_rows_share_them() -> None:
    def shown(seed: int) -> list[tuple[int, ...]]:
        named = few_shot.put(_task(), 4, seed).splits.named()
        texts = chain.from_iterable(
            map(few_shot.put(_task(), 4, seed).text, named[name]) for name in ("validation", "test")
        )
        return [tuple(_numbers(text)[:-1]) for text in texts]

    assert len(set(shown(1))) == 1
    assert shown(1) == shown(1)
    assert len({shown(seed)[0] for seed in range(8)}) > 4
    assert all(sum(i % 2 for i in shown(seed)[0]) in (1, 2, 3) for seed in range(8)), "in proportion to the labels"


def test_a_cloze_shows_its_word_where_the_mask_is() -> None:
    task = few_shot.put(_task(cloze="it is {mask} that {text} :"), 2, seed=0)
    row = task.splits.tests["test"][0]
    text = task.cloze.format(**row.fields, mask="<mask>")
    assert text.count("<mask>") == 1
    assert len(re.findall(r"it is (bad|good) that", text)) == 2


def test_none_changes_nothing_and_too_many_are_refused() -> None:
    task = _task()
    assert few_shot.put(task, 0, seed=1) is task
    with pytest.raises(UsageError, match=r"task.shots=30: train of toy has 30 rows.* at most 29"):
        few_shot.put(task, 30, seed=1)
    with pytest.raises(UsageError, match=r"task.shots=64: train of micro/qa has 64 rows"):
        tasks.resolve(TaskConfig("micro/qa", train_size=64, shots=64))


def test_shots_are_in_the_key_and_zero_is_not() -> None:
    block = {"method": "none", "task": "micro/qa", "seed": 0}
    plain, zero, four = (grid.expand([{**block, **more}])[0] for more in ({}, {"task.shots": 0}, {"task.shots": 4}))
    assert identity.key(plain) == identity.key(zero)
    assert "shots" not in identity.canonical(plain)
    assert identity.key(plain) != identity.key(four)


SMALL = {"task.train_size": 64, "task.validation_size": 16, "task.test_size": 16}


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The outcome of a small cell."""

    def do(method: str, number: int, steps: int, **more: Any) -> dict[str, Any]:
        block = {"method": method, "task": "micro/sentiment", "task.shots": number, "recipe.steps": steps}
        (cell,) = grid.expand([{**block, **SMALL, **more}])
        store = Store(tmp_path / f"{method}{number}{len(more)}")
        return run(cell, Runtime(store=str(store.path), device="cpu"), store.begin(cell))

    return do


def test_a_cell_is_shown_examples_and_what_does_not_fit_is_counted(score: Callable[..., dict[str, Any]]) -> None:
    plain, four = score("none", 0, 0), score("none", 4, 0)
    assert plain["scores"]["best"] != four["scores"]["best"]
    assert "truncated_rows" not in four["notes"], "the limit grows with what is shown"
    cut = score("none", 4, 0, **{"task.max_input_tokens": 4})
    assert cut["notes"]["truncated_rows"]["test"] == 16
    tuned = score("lora", 2, 4)
    assert tuned["status"] == "done"
    assert tuned["parameters"]["delta"] > 0
