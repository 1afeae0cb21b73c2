"""The search for a learning rate: what it tries where the validation score is a known function of the rate."""

import math

import pytest

from harness.experiments.rates import rate_search
from harness.experiments.rates.rate_choice import Outcome
from harness.experiments.rates.rate_search import FARTHEST, MOST, Search, rate, search

START = 3e-3


def place(learning_rate: float) -> float:
    """Return the quarters of a decade above the usual rate."""
    return 4 * math.log10(learning_rate / START)


def parabola(best: float, top: float = 0.9):
    """Return a function of the rate with its maximum at a place."""
    return lambda learning_rate: Outcome("done", {7: top - 0.01 * (place(learning_rate) - best) ** 2})


def path(found: Search) -> list[list[int]]:
    """Return the places that were tried, round by round."""
    rounds: dict[int, list[int]] = {}
    for trial in found.path:
        rounds.setdefault(trial.round, []).append(round(place(trial.learning_rate)))
    return list(rounds.values())


def chosen(found: Search) -> int:
    assert found.choice is not None
    return round(place(found.choice.learning_rate))


@pytest.mark.parametrize(
    ("best", "wanted", "rounds"),
    [
        (0, 0, [[-2, 0, 2], [-1, 1]]),
        (0.8, 1, [[-2, 0, 2], [-1, 1]]),
        (1.4, 1, [[-2, 0, 2], [4], [1, 3]]),
        (-3.2, -3, [[-2, 0, 2], [-4], [-6], [-5, -3]]),
        (6.1, 6, [[-2, 0, 2], [4], [6], [8], [5, 7]]),
    ],
)
def test_the_nearest_quarter_of_a_decade_to_the_top_of_a_parabola_is_chosen(best, wanted, rounds):
    found = search(START, (7,), parabola(best))
    assert path(found) == rounds
    assert chosen(found) == wanted
    assert found.choice.edge == ""
    assert not found.next
    assert len(found.path) <= MOST == len(search(START, (7,), parabola(6)).path)


@pytest.mark.parametrize(("best", "edge"), [(40, "highest"), (-40, "lowest")])
def test_a_best_rate_beyond_the_reach_is_marked_as_an_edge(best, edge):
    found = search(START, (7,), parabola(best))
    assert abs(chosen(found)) == FARTHEST
    assert found.choice.edge == edge
    assert len(found.path) == 7


def test_no_search_takes_more_than_its_budget():
    """Whatever the scores are: here those of a hundred made-up landscapes with many tops."""
    lengths = set()
    for seed in range(100):

        def scores(learning_rate, seed=seed):
            return Outcome(
                "done", {7: math.sin(seed * place(learning_rate)) + math.cos(seed + place(learning_rate) ** 2)}
            )

        found = search(START, (7,), scores)
        lengths.add(len(found.path))
        assert len({trial.learning_rate for trial in found.path}) == len(found.path)
        assert found.choice.mean == pytest.approx(max(rate_search.mean(trial.outcome) for trial in found.path))
    assert max(lengths) <= MOST
    assert min(lengths) == 5


def test_of_two_tops_the_one_beside_the_best_first_rate_is_refined():
    tops = {-2: 0.6, 0: 0.3, 2: 0.5, -4: 0.4, -3: 0.7, -1: 0.2, 4: 0.99}
    found = search(START, (7,), lambda lr: Outcome("done", {7: tops[round(place(lr))]}))
    assert path(found) == [[-2, 0, 2], [-4], [-3, -1]]
    assert chosen(found) == -3


def test_a_plateau_ends_where_a_smaller_rate_is_worse():
    found = search(START, (7,), lambda lr: Outcome("done", {7: 0.8 if place(lr) > -2.5 else 0.1}))
    assert path(found) == [[-2, 0, 2], [-4], [-3, -1]]
    assert chosen(found) == -2
    assert found.choice.edge == ""


def test_where_all_rates_are_equal_the_smallest_is_chosen_and_marked():
    found = search(START, (7,), lambda lr: Outcome("done", {7: 0.5}))
    assert chosen(found) == -FARTHEST
    assert found.choice.edge == "lowest"


def test_a_side_that_diverges_bounds_the_search_and_is_no_edge():
    def outcome(learning_rate):
        if place(learning_rate) > 2.5:
            return Outcome("diverged", {})
        return parabola(9)(learning_rate)

    found = search(START, (7,), outcome)
    assert path(found) == [[-2, 0, 2], [4], [1, 3]]
    assert chosen(found) == 2
    assert found.choice.edge == ""


def test_a_failure_of_another_cause_bounds_nothing():
    def outcome(learning_rate):
        return Outcome("oom", {}) if place(learning_rate) > 2.5 else parabola(9)(learning_rate)

    found = search(START, (7,), outcome)
    assert chosen(found) == 2
    assert found.choice.edge == "highest"


def test_where_the_first_rates_all_diverge_lower_ones_are_tried():
    def outcome(learning_rate):
        return Outcome("diverged", {}) if place(learning_rate) > -5 else parabola(-6)(learning_rate)

    found = search(START, (7,), outcome)
    assert path(found) == [[-2, 0, 2], [-4], [-6], [-8], [-7, -5]]
    assert chosen(found) == -6


@pytest.mark.parametrize(("status", "tried"), [("diverged", 6), ("failed", 3), ("oom", 3)])
def test_a_search_without_a_score_chooses_nothing(status, tried):
    found = search(START, (7,), lambda lr: Outcome(status, {}))
    assert found.choice is None
    assert not found.next
    assert len(found.path) == tried


def test_a_search_waits_for_the_rates_of_its_round_and_counts_what_may_follow():
    found = search(START, (7, 8), lambda lr: None if lr == START else parabola(0)(lr))
    assert found.next == (START,)
    assert found.path == ()
    assert found.more(rate_search.LIKELY) == 2 * 4
    later = search(START, (7, 8), lambda lr: None if place(lr) > 3 else parabola(9)(lr))
    assert later.next == (rate(START, 4),)
    assert later.more(MOST) == 2 * 4
    assert search(START, (7,), parabola(0)).more(MOST) == 0


def test_a_mean_over_seeds_decides_and_rates_have_four_digits():
    scores = {-2: {1: 0.9, 2: 0.1}, 0: {1: 0.6, 2: 0.6}, 2: {1: 0.1, 2: 0.9}}
    found = search(START, (1, 2), lambda lr: Outcome("done", scores.get(round(place(lr)), {1: 0.0, 2: 0.0})))
    assert chosen(found) == 0
    assert rate(START, 1) == 0.005335
    assert found.to_json()["tried"][0] == [0.0009487, 0.5, "done"]


@pytest.mark.parametrize("usual", [1e-3, 2e-3, 3e-4, 5e-2, 7e-4])
@pytest.mark.parametrize("steps", [-4, -2, 2, 4])
def test_searches_that_start_half_decades_apart_try_the_same_rates(usual, steps):
    """A recipe may state what a search chose. A search from there then finds the cells of the search before."""
    later = rate(usual, steps)
    assert [rate(later, place - steps) for place in range(-4, 5)] == [rate(usual, place) for place in range(-4, 5)]
