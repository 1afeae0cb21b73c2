"""How long cells take, from finished cells: the operations of a cell times the rates that were measured. Torch-free.

A cell's seconds are those of its training, of its evaluations, and a rest that no operation changes (start, loading,
storing). The first two are the operations of cell_work.py over the rate of the finished cells that are most like it,
with as many cells beside them, and among those of the ones that no other work disturbed. Then all is multiplied by the
pace of the cells that ended last: a machine that is busy today is slower than in its records.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from harness.config.schema import Cell
from harness.forecast import cell_work
from harness.forecast.cell_work import Reading, Size, Work
from harness.forecast.finished_cells import (
    MOST_READ,
    Readings,
    Sample,
    reference_records,
    sample_of,
    some_of_each,
)
from harness.store import archive, identity, requested_grids
from harness.store.requested_grids import Place
from harness.store.store import Store

RECENT = 8
"""The number of cells, the last to end, whose pace is that of the machine."""
MOST_IN_ALL = 600
"""The number of records that are read of a store, at about one in a millisecond."""
CLOSE = 1.5
"""The factor within which an estimate counts as right."""
LATEST = 20
"""The number of cells, the last to end, that show the speed of a machine."""
ROUGH = "a rough guess for this machine"
Group = tuple[str, ...]


@dataclass(frozen=True)
class Seconds:
    """An estimate in seconds. alike: it comes from cells of the same model, and not from those of another one."""

    train: float
    evaluate: float
    rest: float
    alike: bool

    @property
    def total(self) -> float:
        """Return the seconds of the whole cell."""
        return self.train + self.evaluate + self.rest


class Estimator:
    """Estimates from finished cells. whose: what to call them; "" for those of the store."""

    def __init__(self, samples: Iterable[Sample], whose: str = "") -> None:
        listed = list(samples)
        self.whose = whose
        self._readings = Readings(listed)
        self._as_recorded = listed
        self.samples = list(map(self._readings.completed, listed))
        self._known: dict[tuple[Work, Size, int], Seconds] = {}
        self._groups: dict[Group, list[int]] = defaultdict(list)
        for place, sample in enumerate(self.samples):
            for group in {*_training(sample.work), *_evaluation(sample.work)}:
                self._groups[group].append(place)

    def __bool__(self) -> bool:
        return bool(self.samples)

    def knows(self, model: str) -> bool:
        """Return whether a cell of this model has finished."""
        return ("model", model) in self._groups

    def cell(self, cell: Cell, beside: int = 0) -> Seconds | None:
        """Return the seconds of a cell with so many others beside it; None where too little is known.

        Where its rows are unknown, its names and steps count alone.
        """
        size = cell_work.size(cell) or self._size(cell.model.name)
        if size is None or not self.samples:
            return None
        content = identity.to_json(cell)
        reading = self._reading(cell, content)
        if reading is None:
            named = self.place(requested_grids.place(cell))
            return None if named is None else Seconds(named, 0.0, 0.0, alike=True)
        return self.seconds(cell_work.of(content, reading), size, beside)

    def _reading(self, cell: Cell, content: Mapping[str, Any]) -> Reading | None:
        """Return what a cell reads; cells of the same rows that have counted no tokens have them now, too."""
        reading, fresh = self._readings.of(cell, content)
        if fresh:
            self.samples = list(map(self._readings.completed, self._as_recorded))
            self._known.clear()
        return reading

    def memory(self, cell: Cell) -> int | None:
        """Return the bytes of the largest process of cells of the same model; None where none is known."""
        known = (self.samples[place].memory for place in self._groups.get(("model", cell.model.name), ()))
        return max((memory for memory in known if memory), default=None)

    @cached_property
    def start_s(self) -> float:
        """Return the median seconds from a command to its first cells; 0 where they are unknown."""
        return _median(sample.start_s for sample in self.samples)

    @cached_property
    def between_s(self) -> float:
        """Return the median seconds from the end of a cell to the next one of its job; 0 where they are unknown."""
        return _median(sample.between_s for sample in self.samples)

    def place(self, place: Place) -> float | None:
        """Return the seconds of a cell of which only the names and the steps are known; None without one like it."""
        groups: list[Group] = [
            ("method, model, task", place.method, place.model, place.task),
            ("model, task", place.model, place.task),
            ("method, model", place.method, place.model),
            ("model", place.model),
        ]
        group = next((group for group in groups if group in self._groups), None)
        if group is None:
            return None
        alike = [self.samples[index] for index in self._groups[group]]
        return statistics.median(
            sample.rest_s + (sample.wall_s - sample.rest_s) * self.pace * _ratio(place.steps, sample.work.steps)
            for sample in alike
        )

    def seconds(self, work: Work, size: Size, beside: int = 0) -> Seconds:
        """Return the seconds of this work: training and evaluations at the machine's pace, the rest as it was."""
        key = (work, size, beside)
        plain = self._known[key] = self._known.get(key) or self._plain(*key)
        return replace(plain, train=plain.train * self.pace, evaluate=plain.evaluate * self.pace)

    @cached_property
    def pace(self) -> float:
        """Return the median factor by which the last RECENT cells took longer than all others would let expect.

        1 where no more than RECENT cells have finished.
        """
        order = sorted(range(len(self.samples)), key=lambda place: self.samples[place].ended)[-RECENT:]
        return statistics.median(map(self._residual, order)) if len(self.samples) > RECENT else 1.0

    def past_error(self, most: int = 20) -> tuple[int, int]:
        """Return (right, of): how many of the cells that ended last took at most CLOSE times more or less than the
        cells that ended before them would have let expect.

        of: at most `most`, and no more than two thirds of the cells, since an estimate needs earlier ones.
        """
        order = sorted(range(len(self.samples)), key=lambda place: self.samples[place].ended)
        tried = [place for place in order[len(order) // 3 :][-most:] if place != order[0]]
        ratios = [self._before(order[: order.index(place)], self.samples[place]) for place in tried]
        return sum(1 / CLOSE <= ratio <= CLOSE for ratio in ratios), len(ratios)

    def _before(self, places: Sequence[int], sample: Sample) -> float:
        """Return a sample's seconds over those that these samples let expect."""
        earlier = Estimator([self.samples[place] for place in places], self.whose)
        return sample.wall_s / max(1e-9, earlier.seconds(sample.work, sample.size, sample.beside).total)

    def _residual(self, place: int) -> float:
        """Return a sample's seconds over those that all other samples let expect, the rest left out."""
        sample = self.samples[place]
        plain = self._plain(sample.work, sample.size, sample.beside, without=place)
        return (sample.train_s + sample.evaluate_s) / max(1e-9, plain.train + plain.evaluate)

    def _plain(self, work: Work, size: Size, beside: int, without: int | None = None) -> Seconds:
        """Return the seconds of this work at the median rates of the samples like it."""
        alike = self.knows(work.model)

        def rate(groups: Sequence[Group], spent: Callable[[Sample], float], done: Callable[[Sample], float]) -> float:
            samples = self._like(groups, beside, without, lambda sample: done(sample) > 0)
            return statistics.median(spent(sample) / done(sample) for sample in samples) if samples else 0.0

        train, evaluate = _training(work), _evaluation(work)
        if not alike:
            near = self._nearest(work, size)
            train, evaluate = [("method, model", work.method, near), ("model", near)], [("model", near)]
        rest = [sample.rest_s for sample in self._like([("model", work.model), ()], beside, without)]
        return Seconds(
            work.train(size)
            * rate(train, lambda sample: sample.train_s, lambda sample: sample.work.train(sample.size)),
            work.evaluate(size)
            * rate(evaluate, lambda sample: sample.evaluate_s, lambda sample: sample.work.evaluate(sample.size)),
            statistics.median(rest) if rest else 0.0,
            alike,
        )

    def _like(
        self, groups: Sequence[Group], beside: int, without: int | None,
        fits: Callable[[Sample], bool] = lambda sample: True,
    ) -> list[Sample]:  # fmt: skip
        """Return the samples of the first group that has any; of those, the ones with as many cells beside them."""
        for group in (*groups, ()):
            alike = [self.samples[place] for place in self._groups.get(group, ()) if place != without]
            if alike := [sample for sample in alike if fits(sample)]:
                least = min(abs(sample.beside - beside) for sample in alike)
                near = [sample for sample in alike if abs(sample.beside - beside) == least]
                return [sample for sample in near if not sample.is_disturbed] or near
        return []

    def _nearest(self, work: Work, size: Size) -> str:
        """Return the model whose steps are most like those of this work in their operations."""
        step = math.log(max(1.0, work.train(size) / max(1, work.steps)))

        def distance(sample: Sample) -> float:
            return abs(math.log(max(1.0, sample.work.train(sample.size) / max(1, sample.work.steps))) - step)

        return min(self.samples, key=distance).work.model

    def _size(self, model: str) -> Size | None:
        """Return the size of a model by its finished cells."""
        return next((self.samples[place].size for place in self._groups.get(("model", model), ())), None)


class AtSpeedOf(Estimator):
    """The estimates of recorded runs at the speed of the machine where other cells have finished.

    That speed is what those cells took over what the recorded runs let expect of the same work. A machine may be faster
    with large matrices and slower with small ones, so the cells count whose model has steps most like the asked ones.
    """

    def __init__(self, recorded: Estimator, here: Estimator) -> None:
        super().__init__(recorded.samples, recorded.whose.replace(ROUGH, "at the speed of the finished cells here"))
        self._here = here
        self._ratios: dict[str, tuple[float, float]] = {}

    def seconds(self, work: Work, size: Size, beside: int = 0) -> Seconds:
        """Return the seconds of this work on the machine of the other cells."""
        recorded = super().seconds(work, size, beside)
        model = self._here._nearest(work, size)
        if model not in self._ratios:
            self._ratios[model] = self._compare(model)
        speed, rest = self._ratios[model]
        return replace(
            recorded, train=recorded.train * speed, evaluate=recorded.evaluate * speed, rest=recorded.rest * rest
        )

    def _compare(self, model: str) -> tuple[float, float]:
        """Return what the latest cells of a model took here over what is recorded: the work, and the rest."""
        places = self._here._groups["model", model]
        samples = sorted((self._here.samples[place] for place in places), key=lambda sample: sample.ended)[-LATEST:]
        pairs = [
            (sample, super(AtSpeedOf, self).seconds(sample.work, sample.size, sample.beside)) for sample in samples
        ]
        works = [
            (sample.train_s + sample.evaluate_s) / max(1e-9, known.train + known.evaluate) for sample, known in pairs
        ]
        rests = [sample.rest_s / known.rest for sample, known in pairs if known.rest]
        return statistics.median(works), statistics.median(rests) if rests else 1.0


def _median(figures: Iterable[float | None]) -> float:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else 0.0


def _ratio(steps: int | None, known: int) -> float:
    return steps / known if steps and known else 1.0


def _training(work: Work) -> list[Group]:
    """Return the groups of samples for the training, from what is most like the work to what is least."""
    return [
        ("fields, model, task", work.fields, work.model, work.task),
        ("method, model, task", work.method, work.model, work.task),
        ("method, model", work.method, work.model),
        ("model, task", work.model, work.task),
        ("model", work.model),
        (),
    ]


def _evaluation(work: Work) -> list[Group]:
    """Return the groups of samples for the evaluations. How a task is answered counts for more than the method."""
    return [
        ("fields, model, task", work.fields, work.model, work.task),
        ("method, model, task", work.method, work.model, work.task),
        ("model, task", work.model, work.task),
        ("method, model, answer", work.method, work.model, work.objective, work.answer),
        ("model, answer", work.model, work.objective, work.answer),
        ("model", work.model),
        (),
    ]


def from_store(store: Store, keys: Iterable[str] | None = None) -> Estimator:
    """Return the estimates of the store's finished cells, or of those among `keys`.

    At most MOST_READ records of one kind are read, and fewer of each where there are many kinds.
    """
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for key, summary in store.summaries(keys):
        if summary and summary["status"] == "done":
            kinds[summary["method"], summary["model"], summary["task"]].append(key)
    chosen = some_of_each(kinds, max(1, min(MOST_READ, MOST_IN_ALL // max(1, len(kinds)))))
    records = (store.read(key) for key in chosen)
    return Estimator(filter(None, (sample_of(record) for record in records if record)))


def from_reference(exhibit: str) -> Estimator:
    """Return the estimates of the committed run of one exhibit."""
    path = archive.reference(exhibit)
    runs = archive.from_archive(path) if path.is_file() else []
    return _of_records([run.record for run in runs], f"by our run of {exhibit}")


@cache
def from_references() -> Estimator:
    """Return the estimates of all our committed runs together."""
    return _of_records(reference_records(), "by our own runs")


def _of_records(records: Sequence[Mapping[str, Any]], whose: str) -> Estimator:
    """Return the estimates of recorded runs; they are those of another machine, and a rough guess here."""
    about = next(((record.get("provenance") or {}).get("machine") or {} for record in records), {})
    machine = f"{about.get('cores')} cores, {about.get('processor')}" if about else "another machine"
    return Estimator(filter(None, map(sample_of, records)), f"{whose} ({machine}), {ROUGH}")
