"""The rule that chooses a learning rate, above all where a rate lacks a seed."""

import math

import pytest

from harness.experiments.rates import rate_choice, rate_tuning
from harness.store import identity
from tests.harness.experiments.rates.test_rate_tuning import FRESH, TRIED, Scored


def test_a_seed_that_one_rate_lacks_counts_for_none():
    """The means over all seeds would choose the larger rate, because only it was scored on the easy seed 1."""
    chosen = rate_choice.choose({1e-3: {0: 0.6}, 3e-3: {0: 0.5, 1: 0.99}})
    assert chosen == rate_choice.Choice(1e-3, 2, "lowest", 0.6, 1)


def test_rates_without_a_shared_seed_are_compared_over_their_own():
    assert rate_choice.choose({1e-3: {0: 0.6}, 3e-3: {1: 0.7}}) == rate_choice.Choice(3e-3, 2, "highest", 0.7, 0)


def test_a_rate_without_any_score_is_not_compared():
    assert rate_choice.choose({1e-3: {}, 3e-3: {0: 0.5}, 1e-2: {0: 0.4}}).tried == 2


@pytest.mark.parametrize(
    ("scores", "broken", "wanted"),
    [
        ({1e-3: {0: 0.1}, 3e-3: {0: 0.9}}, [3e-3], 1e-3),
        ({1e-3: {0: 0.1}, 3e-3: {0: 0.9}}, [1e-3, 3e-3], 3e-3),
        ({1e-3: {}, 3e-3: {0: 0.9}}, [1e-3, 3e-3], 3e-3),
        ({3e-3: {}, 1e-3: {}}, [1e-3], 1e-3),
    ],
)
def test_a_rate_that_broke_is_chosen_only_where_every_rate_broke(scores, broken, wanted):
    assert rate_choice.choose(scores, dict.fromkeys(broken, "diverged")).learning_rate == wanted


def test_the_smaller_of_equal_rates_wins_and_a_middle_rate_is_no_edge():
    chosen = rate_choice.choose({1e-2: {0: 0.7}, 3e-3: {0: 0.1 + 0.6}, 1e-3: {0: 0.2}})
    assert (chosen.learning_rate, chosen.edge, chosen.tried) == (3e-3, "", 3)


def test_without_any_score_the_mean_is_unknown():
    assert math.isnan(rate_choice.choose({1e-3: {}}).mean)


def test_planned_cells_follow_the_same_rule_where_a_score_is_missing():
    """A finished cell without a validation score does not rule out its rate: its seed counts for no rate."""
    blocks = [{**TRIED, "seed": [100, 101]}, FRESH]
    tried = rate_tuning.expand(blocks[:1], Scored({})).cells
    scores = {identity.key(cell): 0.99 if cell.seed == 101 else 1 - cell.recipe.learning_rate for cell in tried}
    lacking = {identity.key(cell) for cell in tried if cell.seed == 101 and cell.recipe.learning_rate < 5e-3}

    class Partly(Scored):
        def read(self, key):
            record = super().read(key)
            if key in lacking:
                record["scores"]["best"]["sets"]["validation"] = {}
            return record

    planned = rate_tuning.expand(blocks, Partly(scores))
    fresh = {cell.recipe.learning_rate for cell in planned.cells if cell.method.name == "full" and cell.seed < 2}
    assert fresh == {9e-4}
