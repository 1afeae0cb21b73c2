"""A block at the rate `chosen`: its cells follow from the validation scores of the cells that tried rates."""

import pytest

from harness.errors import UsageError
from harness.experiments import rate_tuning
from harness.experiments.exhibits import RATE
from harness.store import identity

TRIED = {
    "method": ["lora", "full"],
    "model": "micro-t5-nano",
    "task": "micro/qa",
    RATE: ["x0.3", "x1", "x3"],
    "seed": 100,
}
FRESH = {**TRIED, RATE: "chosen", "seed": [0, 1]}


class Scored:
    """A store in which cells have these validation scores; a cell without one has not run."""

    def __init__(self, scores):
        self.scores = scores

    def status(self, key):
        return "missing" if key not in self.scores else "diverged" if self.scores[key] is None else "done"

    def read(self, key):
        if self.status(key) != "done":
            return {"status": self.status(key)}
        sets = {"validation": {"exact_match": self.scores[key]}}
        return {"status": "done", "task_facts": {"metric": "exact_match"}, "scores": {"best": {"sets": sets}}}


def scored(score):
    tried = rate_tuning.expand([TRIED], Scored({})).cells
    return Scored({identity.key(cell): score(cell) for cell in tried})


def rates(planned, method):
    return {cell.recipe.learning_rate for cell in planned.cells if cell.method.name == method and cell.seed != 100}


def test_nothing_is_chosen_before_all_have_finished():
    planned = rate_tuning.expand([TRIED, FRESH], Scored({}))
    assert len(planned.cells) == 6
    assert planned.waiting == 4
    partial = scored(lambda cell: 0.5)
    del partial.scores[next(iter(partial.scores))]
    assert rate_tuning.expand([TRIED, FRESH], partial).waiting == 2


def test_the_best_validation_score_chooses_and_the_smaller_rate_of_equals():
    planned = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: 0.9 if cell.recipe.learning_rate < 5e-3 else 0.4))
    assert planned.waiting == 0
    assert len(planned.cells) == 10
    assert rates(planned, "lora") == {3e-3}
    assert rates(planned, "full") == {9e-4}  # 9e-4 and 3e-3 score alike


def test_a_rate_at_which_a_cell_broke_is_not_chosen():
    planned = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: None if cell.recipe.learning_rate > 5e-3 else 0.1))
    assert rates(planned, "full") == {9e-4}
    broken = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: None))
    assert rates(broken, "lora") == {3e-3}
    assert broken.waiting == 0


def test_chosen_from_nothing_is_an_error():
    with pytest.raises(UsageError, match="no other block"):
        rate_tuning.expand([FRESH], Scored({}))
