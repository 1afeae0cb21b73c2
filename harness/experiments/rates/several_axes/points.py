"""Which points of a search over several fields are tried next, by Optuna's tree of Parzen estimators. Torch-free.

A point is a learning rate, on the grid of quarter decades of `rate_search`, and a value of each searched field. Every
arm has the same rule and at most as many points: rounds of four, the first of which has the arm's usual point. The
study is replayed from what the points scored, so a search that was cut off goes on where it was. A point at which
training diverged or ran out of memory counts as the worst; one without a score for another reason says nothing.

Source: Bergstra et al. 2011 (tree of Parzen estimators), Akiba et al. 2019 (Optuna).
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import UsageError
from harness.experiments.rates.rate_choice import BROKEN, Choice, Outcome
from harness.experiments.rates.rate_search import FARTHEST, Search, Trial, mean, rate
from harness.experiments.rates.several_axes.searched_fields import PREFIX, Axes

Point = tuple[int, tuple[int, ...]]
"""A place of the rate, in quarters of a decade from the usual one, and the place of a value of each field."""
ROUND = 4
"""How many points are tried at once."""
DRAWS = 25
"""How often another point is drawn where one was tried before, until the search ends."""
WORST = -1e9
PLACE = "rate"


def optuna() -> Any:
    """Return the package. Raise UsageError where it is not installed."""
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise UsageError(
            f"{PREFIX}FIELD: a search over more than the learning rate needs Optuna, which is not installed: "
            'pip install "deltabench[optuna]", or leave the field out.'
        ) from None


class _Study:
    """Optuna's study of one arm, asked for points that were not tried, and told what they gave."""

    def __init__(self, axes: Axes, usual: Mapping[str, Any]) -> None:
        package = optuna()
        package.logging.set_verbosity(package.logging.ERROR)
        self._package, self._axes = package, axes
        sampler = package.samplers.TPESampler(seed=0, n_startup_trials=2 * ROUND)
        self._study = package.create_study(direction="maximize", sampler=sampler)
        kinds = package.distributions
        self._space = {PLACE: kinds.IntDistribution(-FARTHEST, FARTHEST)} | {
            axis: kinds.CategoricalDistribution(range(len(taken))) for axis, taken in axes.fields.items()
        }
        first = {
            axis: taken.index(usual[axis]) if usual.get(axis) in taken else 0 for axis, taken in axes.fields.items()
        }
        self._study.enqueue_trial({PLACE: 0, **first})
        self._told = dict[Point, float | None]()

    def ask(self) -> dict[Point, Any]:
        """Return the points of the next round with Optuna's trials; none where new points are no longer found."""
        fresh = dict[Point, Any]()
        for _ in range(DRAWS * ROUND):
            if len(fresh) == ROUND:
                break
            trial = self._study.ask(self._space)
            point = (trial.params[PLACE], tuple(trial.params[axis] for axis in self._axes.fields))
            if point in self._told or point in fresh:
                self._tell(trial, self._told.get(point))
            else:
                fresh[point] = trial
        return fresh

    def tell(self, point: Point, trial: Any, outcome: Outcome) -> None:
        """Record what a point gave."""
        worst = WORST if outcome.status in BROKEN else None
        self._told[point] = worst if worst is not None else mean(outcome)
        self._tell(trial, self._told[point])

    def _tell(self, trial: Any, value: float | None) -> None:
        if value is None:
            self._study.tell(trial, state=self._package.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)


def search(
    start: float,
    usual: Mapping[str, Any],
    axes: Axes,
    seeds: Sequence[int],
    outcome: Callable[[float, Mapping[str, Any]], Outcome | None],
) -> Search:
    """Return the state of an arm's search.

    start, usual: its usual rate and values. outcome: of a rate with values of the fields; None where its cells have not
    ended.
    """
    study, path, places, number = _Study(axes, usual), list[Trial](), list[Point](), 0
    waiting: tuple[float, ...] = ()
    while len(path) < axes.trials and not waiting and (fresh := study.ask()):
        number += 1
        fresh = dict([*fresh.items()][: axes.trials - len(path)])
        outcomes = {point: outcome(rate(start, point[0]), values_of(axes, point)) for point in fresh}
        waiting = tuple(rate(start, point[0]) for point, known in outcomes.items() if known is None)
        for point, known in outcomes.items():
            if known is not None and not waiting:
                study.tell(point, fresh[point], known)
                path.append(Trial(rate(start, point[0]), number, known, values_of(axes, point)))
                places.append(point)
    choice, fields = _choice(path, places)
    return Search(start, tuple(seeds), tuple(path), waiting, choice, fields, axes.trials)


def values_of(axes: Axes, point: Point) -> dict[str, Any]:
    """Return the values of the fields at a point."""
    return {axis: taken[place] for (axis, taken), place in zip(axes.fields.items(), point[1], strict=True)}


def _choice(path: Sequence[Trial], places: Sequence[Point]) -> tuple[Choice | None, Mapping[str, Any]]:
    """Return the best point that every seed has a score of, as a choice and its values; the smaller rate of two equal
    ones.
    """
    done = [(trial, place) for trial, (place, _) in zip(path, places, strict=True) if trial.outcome.status == "done"]
    if not done:
        return None, {}
    best, place = max(done, key=lambda pair: (round(mean(pair[0].outcome) or 0.0, 9), -pair[1]))
    edge = {-FARTHEST: "lowest", FARTHEST: "highest"}.get(place, "")
    score = mean(best.outcome)
    made = Choice(best.learning_rate, len(path), edge, math.nan if score is None else score, len(best.outcome.scores))
    return made, best.fields
