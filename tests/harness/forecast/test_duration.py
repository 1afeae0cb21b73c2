"""Estimates of time: operations times measured rates, tried on recorded runs."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import assets
from harness.config.schema import Cell
from harness.forecast import cell_work
from harness.forecast.cell_work import Reading, Size, Work
from harness.forecast.dry_run import Cost
from harness.forecast.duration import CLOSE, AtSpeedOf, Estimator
from harness.forecast.finished_cells import Sample, sample_of
from harness.store import archive, identity
from harness.store.requested_grids import Place

SIZE = Size(1e6, 4)
WORK = Work("lora", "rank 4", "m", "a", "seq2seq", "label", 100, 32, 5, Reading(20.0, 256))
RATE = 1e10


def made(work: Work = WORK, size: Size = SIZE, slow: float = 1.0, beside: int = 0, ended: str = "") -> Sample:
    """A cell that trained and was evaluated at RATE operations a second, `slow` times slower, and 2 s of the rest."""
    train, evaluate = (slow * operations / RATE for operations in (work.train(size), work.evaluate(size)))
    return Sample(work, size, train, evaluate, 2.0, beside, ended, (work.task, work.model))


def _expected(work: Work, size: Size = SIZE) -> float:
    return (work.train(size) + work.evaluate(size)) / RATE + 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 1000, "evaluations": 41}, {"batch": 256}, {"reading": Reading(200.0, 256)},
        {"reading": Reading(20.0, 5000)}, {"evaluations": 50}, {"method": "full"}, {"task": "b"},
        {"objective": "causal"},
    ],
)  # fmt: skip
def test_seconds_follow_steps_batch_length_rows_and_evaluations(change: dict[str, Any]) -> None:
    other = replace(WORK, **change)
    assert Estimator([made()]).seconds(other, SIZE).total == pytest.approx(_expected(other))


def test_another_model_is_scaled_by_its_operations_and_called_rough() -> None:
    small, large = made(size=Size(1e5, 2), work=replace(WORK, model="small")), made(slow=0.5)
    estimator = Estimator([small, large])
    unseen = replace(WORK, model="unseen")
    found = estimator.seconds(unseen, Size(3e6, 4))
    assert not found.alike
    assert found.train == pytest.approx(0.5 * unseen.train(Size(3e6, 4)) / RATE)  # the rate of the nearer size
    assert estimator.seconds(WORK, SIZE).alike


def test_cells_under_the_same_load_are_asked_first() -> None:
    estimator = Estimator([made(), made(slow=3.0, beside=1), made(slow=3.0, beside=1)])
    assert estimator.seconds(WORK, SIZE, beside=0).train == pytest.approx(WORK.train(SIZE) / RATE)
    assert estimator.seconds(WORK, SIZE, beside=1).train == pytest.approx(3 * WORK.train(SIZE) / RATE)


def test_cells_that_other_work_disturbed_give_way_to_those_that_ran_alone() -> None:
    disturbed = replace(made(slow=4.0), busy=1.2)
    assert Estimator([disturbed]).seconds(WORK, SIZE).train == pytest.approx(4 * WORK.train(SIZE) / RATE)
    alone = replace(made(), busy=0.1)
    assert Estimator([disturbed, alone, disturbed]).seconds(WORK, SIZE).train == pytest.approx(WORK.train(SIZE) / RATE)
    beside = replace(made(slow=2.0, beside=1), busy=1.1)  # the cell beside it is what kept the other core busy
    assert Estimator([alone, beside]).seconds(WORK, SIZE, 1).train == pytest.approx(2 * WORK.train(SIZE) / RATE)


def test_recorded_runs_are_scaled_by_the_speed_here_on_the_work_most_like_the_asked_one() -> None:
    large, small = replace(WORK, model="large"), replace(WORK, model="small")
    sizes = {"large": Size(1e8, 12), "small": Size(1e4, 2)}
    recorded = Estimator([made(), made(large, sizes["large"]), made(small, sizes["small"])], "by our runs, rough")
    here = Estimator([made(large, sizes["large"], slow=0.5), made(small, sizes["small"], slow=3.0)])
    scaled = AtSpeedOf(recorded, here)
    for size, factor in ((Size(9e7, 12), 0.5), (Size(2e4, 2), 3.0)):
        plain, found = recorded.seconds(WORK, size), scaled.seconds(WORK, size)
        assert found.train == pytest.approx(factor * plain.train)
        assert found.evaluate == pytest.approx(factor * plain.evaluate)
        assert found.rest == pytest.approx(plain.rest)
    slower = Estimator([replace(made(large, sizes["large"]), rest_s=5.0)])
    assert AtSpeedOf(recorded, slower).seconds(WORK, SIZE).rest == pytest.approx(5.0)


def test_the_pace_is_that_of_the_cells_that_ended_last() -> None:
    early = [made(ended=f"2026-01-01T00:{minute:02}") for minute in range(30)]
    late = [made(slow=2.0, ended=f"2026-01-02T00:{minute:02}") for minute in range(8)]
    assert Estimator(early).pace == pytest.approx(1.0)
    assert Estimator([*late, *early]).pace == pytest.approx(2.0)


def test_past_errors_are_those_of_cells_that_ended_later() -> None:
    early = [made(ended=f"2026-01-01T00:{minute:02}") for minute in range(9)]
    assert Estimator(early).past_error() == (6, 6)
    late = [made(slow=5.0, ended=f"2026-01-02T00:{minute:02}") for minute in range(3)]
    right, of = Estimator([*early, *late]).past_error()
    assert (right, of) == (5, 8)


def test_without_any_finished_cell_nothing_is_known(cell: Callable[..., Cell]) -> None:
    assert not Estimator([])
    assert Estimator([]).cell(cell()) is None
    assert Estimator([]).place(Place("k", "lora", "m", "a", 100)) is None


def test_a_cell_is_read_where_no_finished_cell_has_read_its_rows(cell: Callable[..., Cell]) -> None:
    estimator = Estimator([made()])
    small, large = (estimator.cell(cell(recipe__batch_size=size)) for size in (8, 64))
    assert small is not None
    assert large is not None
    assert not small.alike
    assert large.train == pytest.approx(2 * small.train, rel=0.05)  # the launches do not grow with the rows
    assert large.evaluate == small.evaluate


SHOTS = [0, 1, 4, 16]


def untrained(shots: int, rows: int = 256, task: str = "a") -> Sample:
    """A cell that trained nothing, whose record counts rows and no tokens; it took a second for each example read."""
    work = replace(WORK, method="none", task=task, steps=0, evaluations=1, reading=Reading(0.0, rows))
    return Sample(work, SIZE, 0.0, 1.0 * (1 + shots), 0.5, 0, "", (task, "m", "", None, None, rows, rows, shots))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("shots", SHOTS)
def test_cells_that_train_nothing_are_estimated_by_their_shots_alone(shots: int, trained: bool) -> None:
    """No record of such a cell counts tokens, and another cell of the same rows may never have trained."""
    others = [untrained(number) for number in SHOTS if number != shots]
    estimator = Estimator([*others, *([made()] if trained else [])])
    wanted = estimator._readings.completed(untrained(shots)).work
    found = estimator.seconds(wanted, SIZE)
    assert found.train == 0
    assert found.evaluate == pytest.approx(1 + shots, rel=0.6)


def test_a_method_that_trains_nothing_has_no_steps_to_wait_for(cell: Callable[..., Cell]) -> None:
    bare, head = (
        cell_work.of(identity.to_json(replace(cell(method="none"), objective=objective)), Reading(20.0, 256))
        for objective in ("seq2seq", "classifier")
    )
    assert bare.train(SIZE) == 0
    assert bare.evaluations == 1
    assert head.train(SIZE) > 0


def test_a_place_is_known_by_its_names_and_steps() -> None:
    estimator = Estimator([made(), made(replace(WORK, task="b"), slow=2.0)])
    whole = _expected(WORK)
    assert estimator.place(Place("k", "lora", "m", "a", 100)) == pytest.approx(whole)
    assert estimator.place(Place("k", "lora", "m", "a", 200)) == pytest.approx(2 * (whole - 2) + 2)
    assert estimator.place(Place("k", "full", "m", "b", 100)) == pytest.approx(2 * (whole - 2) + 2)
    assert estimator.place(Place("k", "lora", "other", "a", 100)) is None


def test_a_record_that_does_not_divide_its_time_counts_as_training() -> None:
    cell = {
        "method": {"name": "lora"},
        "model": {"name": "m"},
        "task": {"name": "a"},
        "objective": "seq2seq",
        "seed": 0,
    }
    record = {"status": "done", "cell": {**cell, "recipe": {"steps": 10}}, "time": {"wall_s": 7.0}}
    found = sample_of(record)
    assert found is not None
    assert (found.train_s, found.evaluate_s, found.rest_s, found.work.steps) == (7.0, 0.0, 0.0, 10)
    assert sample_of({**record, "status": "oom"}) is None
    bare = sample_of({**record, "cell": {**record["cell"], "method": {"name": "none"}}})
    assert bare is not None
    assert (bare.train_s, bare.evaluate_s, bare.work.steps) == (0.0, 7.0, 0)


def _samples(path: Any) -> list[Sample]:
    """The samples of a recorded run in the order in which its cells ended, with the tokens that each reads.

    Cells beside which other work kept half a core or more busy are left out: how long they took was not up to them.
    """
    records = [run.record for run in archive.from_archive(path)]
    found = filter(None, (sample_of(record) for record in records if not _crowded(record.get("time") or {})))
    return Estimator(sorted(found, key=lambda one: one.ended)).samples


def _crowded(clock: dict[str, Any]) -> bool:
    return (clock.get("busy_beside") or 0) > (clock.get("cells_beside") or 0) + 0.5


RECORDED = sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))
LEAST = 9
"""The samples below which a recorded run says nothing."""


def test_recorded_runs_are_estimated_within_a_factor_of_one_and_a_half() -> None:
    """Each cell is estimated from cells that ended before it, as a plan would have done. In several of these runs other
    work came and went on the machine, which no record of them states; the pace of the latest cells follows it.
    """
    right = total = 0
    for path in RECORDED:
        samples = _samples(path)
        places = range(len(samples) // 3, len(samples)) if len(samples) >= LEAST else range(0)
        for place in places[:: max(1, len(places) // 30)]:
            one = samples[place]
            found = Estimator(samples[:place]).seconds(one.work, one.size, one.beside).total
            right += 1 / CLOSE <= one.wall_s / found <= CLOSE
            total += 1
    assert total > 200
    assert right / total >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_each_recorded_run_is_estimated_under_like_load(path: Any) -> None:
    """The cells that ended just before and after a cell state the load that it met."""
    if len(samples := _samples(path)) < LEAST:
        pytest.skip("too few samples")
    estimator = Estimator(samples)
    residuals = [estimator._residual(place) for place in range(len(samples))]
    right = 0
    for place, one in enumerate(samples):
        near = [
            residuals[other] for other in range(place - 4, place + 5) if other != place and 0 <= other < len(samples)
        ]
        plain = estimator._plain(one.work, one.size, one.beside, without=place)
        expected = statistics.median(near) * (plain.train + plain.evaluate) + plain.rest
        right += 1 / CLOSE <= one.wall_s / expected <= CLOSE
    assert right / len(samples) >= 0.75


def test_seconds_in_which_no_cell_runs_are_medians_of_those_that_are_known() -> None:
    first = [replace(made(), start_s=seconds) for seconds in (4.0, 5.0, 60.0)]
    later = [replace(made(), between_s=seconds) for seconds in (0.2, 0.4)]
    estimator = Estimator([*first, *later, made()])
    assert (estimator.start_s, estimator.between_s) == (5.0, pytest.approx(0.3))
    assert (Estimator([made()]).start_s, Estimator([]).between_s) == (0.0, 0.0)


def test_a_plan_counts_what_lies_between_its_cells() -> None:
    known = dict.fromkeys("abcdef", 10.0)
    plan = Cost(known, {}, frozenset(), at_once=2, in_parallel=2)
    assert plan.wall == 30.0
    assert replace(plan, start=5.0, between=0.5).wall == pytest.approx(5.0 + 30.0 + 4 * 0.5 / 2)
    assert replace(plan, seconds={"a": 10.0}, start=5.0, between=0.5).wall == 15.0
    assert replace(plan, seconds={}, start=5.0).wall is None
