"""How far a sweep is: counted from the store, whatever the launcher tells."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.config.schema import Cell, MethodConfig
from harness.execution import progress, worker
from harness.execution.expected_times import Estimate, expected
from harness.store import identity, lease
from harness.store.store import SCHEMA, Store

Make = Callable[..., Cell]


@pytest.fixture
def tally(store: Store, cell: Make) -> progress.Tally:
    many = {identity.key(one): one for one in (cell("good"), cell("error"), cell("nap"))}
    return progress.Tally(store, many, dict.fromkeys(many, 0))


def test_ends_are_told_once_with_their_count(
    tally: progress.Tally,
    store: Store,
    cell: Make,
    setup: Callable[..., worker.Setup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(tally.poll()) == []
    assert tally.left_s() is None
    for method in ("good", "error"):
        worker.attempt(store, cell(method), setup())
    looks: list[str] = []
    whole = tally.left_s
    monkeypatch.setattr(tally, "left_s", lambda: (looks.append("look"), whole())[1])
    lines = list(tally.lines())
    assert len(looks) == 1, "the lines of one look share the time that is left: thousands of lines would take minutes"
    assert [line[:5] for line in lines] == ["[1/3]", "[2/3]"]
    assert "done" in lines[0]
    assert "failed" in lines[1]
    assert all("to go" in line for line in lines)
    assert list(tally.poll()) == []
    assert tally.failed == 1
    assert tally.left_s() is not None


def test_a_line_has_the_score_and_what_tells_its_cell_from_the_others(store: Store, cell: Make) -> None:
    def line(rank: int, rate: float, role: str = "test", **scores: float) -> str:
        one = replace(
            cell("lora"),
            method=MethodConfig("lora", {"rank": rank, "alpha": 2 * rank}),
            recipe=replace(cell().recipe, learning_rate=rate),
        )
        key, folder = identity.key(one), store.begin(one)
        sets = {name: {"accuracy": value, "n": 4} for name, value in scores.items()}
        about = {
            "scores": {"best": {"step": 3, "sets": sets}},
            "task_facts": {"metric": "accuracy", "tests": ["a", "b"]},
        }
        record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": "done", **about}
        store.finish(key, folder, {**record, "cell": identity.to_json(one)})
        others = [one, replace(one, method=MethodConfig("lora", {"rank": 1, "alpha": 2})), cell("full")]
        among = [*others, replace(one, recipe=replace(one.recipe, learning_rate=3e-3))]
        tally = progress.Tally(store, {key: one}, {key: folder.number - 1}, among, role)
        (line,) = tally.lines()
        return line

    told = line(4, 1e-3, a=0.9, b=0.7, validation=0.5)
    assert "done     lora rank=4 learning_rate=1e-3 stub stub seed 0  test accuracy 80.0" in told
    assert "validation accuracy 50.0" in line(4, 2e-3, "validation", a=0.9, b=0.7, validation=0.5)
    assert "validation accuracy 50.0" in line(4, 4e-3, validation=0.5, a=0.9)
    assert "accuracy" not in line(4, 5e-3)


def test_running_cells_have_a_step(tally: progress.Tally, store: Store, cell: Make) -> None:
    key = identity.key(cell("nap"))
    held = lease.acquire(store.leases, key)
    assert held is not None
    folder = store.begin(cell("nap"))
    assert tally.running() == {key: 0}
    folder.append("curve.jsonl", {"step": 25})
    assert tally.running() == {key: 25}
    held.release()
    assert tally.running() == {}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_and_lines_elsewhere(
    tally: progress.Tally,
    store: Store,
    cell: Make,
    setup: Callable[..., worker.Setup],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown(tally):
        for method in ("good", "error"):
            worker.attempt(store, cell(method), setup())
    told = screen.getvalue()
    assert "[1/3]" in told
    assert "[2/3]" in told
    assert ("1 done, 1 failed, ETA" in told) == terminal
    assert ("\x1b[" in told) == terminal


@pytest.mark.parametrize(("seconds", "told"), [(0, "0:00"), (75.4, "1:15"), (4000, "1:06:40")])
def test_clock(seconds: float, told: str) -> None:
    assert progress.clock(seconds) == told


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the seconds that the progress reads."""
    return lambda now: monkeypatch.setattr("harness.execution.progress.time.monotonic", lambda: now)


def _end(store: Store, one: Cell, wall_s: float) -> None:
    key, folder = identity.key(one), store.begin(one)
    record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": "done", "time": {"wall_s": wall_s}}
    store.finish(key, folder, {**record, "cell": identity.to_json(one)})


def test_what_is_left_is_corrected_by_ended_cells_and_counts_what_runs(
    store: Store, cell: Make, clock_at: Callable[[float], None]
) -> None:
    many = {identity.key(one): one for one in (cell(seed=seed) for seed in range(6))}
    times = expected(many.values(), {key: Estimate(40.0, rough=True) for key in many})
    tally = progress.Tally(store, many, dict.fromkeys(many, 0), times=times, at_once=2)
    clock_at(100.0)
    assert list(tally.poll()) == []
    assert tally.left_s() == pytest.approx(6 * 40 / 2)  # by the estimates, before anything has ended
    running = [lease.acquire(store.leases, key) for key in list(many)[:2]]
    assert list(tally.poll()) == []
    clock_at(110.0)
    assert running[0] is not None
    running[0].release()
    _end(store, cell(seed=0), 10.0)
    assert list(tally.poll()) == [identity.key(cell(seed=0))]
    # Each takes 10 s, as the first did. The second has run for 10 s, so four are left for two at once.
    assert tally.left_s() == pytest.approx(4 * 10 / 2)
    clock_at(115.0)
    assert tally.left_s() == pytest.approx(40 / (25 / 15))  # five seconds in which only one ran are seen as such


def test_the_longest_cell_ends_last(store: Store, cell: Make) -> None:
    many = {identity.key(one): one for one in (cell("good"), cell("nap"))}
    times = expected(many.values(), dict(zip(many, (Estimate(1.0), Estimate(60.0)), strict=True)))
    assert progress.Tally(store, many, dict.fromkeys(many, 0), times=times, at_once=2).left_s() == 60.0


def test_a_cell_without_an_estimate_counts_as_the_others_do(store: Store, cell: Make) -> None:
    many = {identity.key(one): one for one in (cell("good"), cell("nap"), cell("error"))}
    times = expected(many.values(), dict(zip(many, (Estimate(10.0), Estimate(90.0)), strict=False)))
    assert progress.Tally(store, many, dict.fromkeys(many, 0), times=times).left_s() == pytest.approx(150.0)
