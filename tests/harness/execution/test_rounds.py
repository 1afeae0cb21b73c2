"""A grid in rounds: trials of learning rates first, then the cells that are reported. Nothing trains here."""

import math

import pytest

from harness.analysis import grid_table
from harness.cli import cell_choice, table_output
from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.execution import rounds, sweep
from harness.execution.sweep_plan import SweepOptions
from harness.experiments.grids.blocks import RATE, USUAL_SEED
from harness.experiments.rates import rate_tuning
from harness.store import identity, requested_grids
from harness.store.store import Store
from tests.harness import made_runs

BLOCK = {"method": ["lora", "full"], "model": "micro-t5-nano", "task": "micro/qa", RATE: "tuned", "seed": [0, 1]}


class Sweeps:
    """A stand-in for `sweep.run_cells`, which gives every cell that has not ended a made-up record."""

    def __init__(self, store, score, stop_after=None):
        self.store, self.score, self.stop_after = store, score, stop_after
        self.calls = []

    def __call__(self, many, options, holes=(), beside=()):
        todo = [cell for cell in many if sweep.exit_code(self.store, [cell]) or options.rerun]
        for cell in todo:
            outcome = self.score(cell.method.name, cell.recipe.learning_rate)
            finish(self.store, cell, outcome)
        self.calls.append({**vars(options), "holes": holes, "cells": many, "beside": beside, "todo": todo})
        requested_grids.note(self.store, requested_grids.of(options.name, [*beside, *many]))
        return 130 if len(self.calls) == self.stop_after else sweep.exit_code(self.store, many)


def finish(store, cell, outcome):
    """Write a record with this validation score, or with this status."""
    status, score = (outcome, 0.0) if isinstance(outcome, str) else ("done", outcome)
    made, key, folder = (
        made_runs.run("lora", cell.task.name, cell.seed, status=status),
        identity.key(cell),
        store.begin(cell),
    )
    sets = {"validation": {"accuracy": score, "n": 9}, "test": {"accuracy": score, "n": 9}}
    scores = {name: {"step": 200, "sets": sets} for name in ("best", "last")} if status == "done" else {}
    about = {"key": key, "cell": identity.to_json(cell), "scores": scores, "attempt": folder.number, "notes": {}}
    store.finish(key, folder, {**made.record, **about})


def top(best):
    return lambda method, rate: 0.9 - 0.05 * math.log10(rate / best) ** 2


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the rounds of a block in a store, and return (code, plan, calls, store)."""

    def do(score, block=BLOCK, stop_after=None, probe="", **settings):
        store = Store(tmp_path / "store")
        sweeps = Sweeps(store, score, stop_after)
        monkeypatch.setattr(sweep, "run_cells", sweeps)
        planned = rate_tuning.expand([block], store, holes=True, spent=())
        options = SweepOptions(Runtime(store=str(store.path), probe=probe), name="grid", **settings)
        code, planned = rounds.run(planned, [block], options)
        return code, planned, sweeps.calls, store

    return do


def test_trials_run_before_the_reported_cells_whose_records_have_the_path(run, capsys):
    code, _, calls, store = run(top(1e-2))
    assert code == 0
    assert [len(call["todo"]) for call in calls] == [6, 3, 2, 4]
    assert [call["role"] for call in calls] == ["validation"] * 3 + ["test"]
    assert all(call["unprobed"] == {USUAL_SEED} for call in calls)
    assert [len(call["beside"]) for call in calls] == [0, 6, 9, 11]
    [noted] = requested_grids.noted(store)
    assert len(noted.places) == 15
    for cell in calls[-1]["cells"]:
        search = store.read(identity.key(cell))["cell"]["recipe"]["rate_search"]
        assert search["tried"][0][1] == pytest.approx(top(1e-2)("", search["tried"][0][0]))
        assert len(search["tried"]) == (5 if cell.method.name == "lora" else 6)
        assert search["edge"] == ""
    text = capsys.readouterr().out
    assert "learning rates: 6 trials for 2 arms" in text
    assert "the learning rates are chosen; the reported seeds run now" in text


def test_the_same_command_again_runs_nothing_and_looks_at_the_reported_cells(run):
    run(top(1e-2))
    code, _, calls, _ = run(top(1e-2))
    assert code == 0
    assert [(len(call["cells"]), len(call["todo"])) for call in calls] == [(4, 0)]


def test_where_no_seed_is_unprobed_the_trials_are_looked_at_too_however_long_ago_they_ended(run):
    probing = {"unprobed": None, "probe": "latency"}
    _, _, calls, _ = run(top(1e-2), **probing)
    assert [len(call["todo"]) for call in calls] == [6, 3, 2, 4]
    assert all(call["unprobed"] == () for call in calls)
    _, _, again, store = run(top(1e-2), **probing)
    assert [(len(call["cells"]), len(call["todo"])) for call in again] == [(11, 0), (4, 0)]
    for record in list(store.records()):  # as the probe leaves it
        attempt = store.attempt(record["key"], record["attempt"])
        attempt.write("record.json", {**record, "probes": {"latency": {"status": "done"}}})
    _, _, last, _ = run(top(1e-2), **probing)
    assert [len(call["cells"]) for call in last] == [4], "what is done is not announced again"


def test_a_search_that_was_stopped_goes_on(run):
    code, _, _, _ = run(top(1e-2), stop_after=1)
    assert code == 130
    code, _, calls, _ = run(top(1e-2))
    assert code == 0
    assert [len(call["todo"]) for call in calls] == [3, 2, 4]


def test_a_trial_that_diverged_is_no_failure_of_the_sweep(run):
    code, planned, calls, _ = run(lambda method, rate: "diverged" if rate > 5e-3 else top(1e-2)(method, rate))
    assert code == 0
    assert all(search.choice.edge == "" for search in planned.searches.values())
    assert len(calls[-1]["cells"]) == 4


def test_an_arm_without_a_rate_costs_that_arm_alone(run, capsys):
    code, _, calls, _ = run(lambda method, rate: "diverged" if method == "lora" else top(1e-2)(method, rate))
    assert code == 1
    assert {cell.method.name for cell in calls[-1]["cells"]} == {"full"}
    [line] = [line for line in capsys.readouterr().out.splitlines() if "found no learning rate" in line]
    assert line.startswith("lora micro-t5-nano micro/qa: the search found no learning rate (3.162e-3 diverged, ")
    assert "recipe.learning_rate=NUMBER" in line


def test_where_no_arm_has_a_rate_nothing_is_reported(run, capsys):
    code, planned, calls, store = run(lambda method, rate: "failed")
    assert code == 1
    assert {cell.seed for call in calls for cell in call["cells"]} == {USUAL_SEED}
    choice = cell_choice.of_cells("grid", planned.cells, [BLOCK])
    capsys.readouterr()
    table_output.after(store, choice)
    assert capsys.readouterr().out == ""


def test_a_best_rate_at_the_end_of_the_reach_runs_and_is_marked(run, capsys):
    code, _, calls, store = run(top(1e6))
    assert code == 0
    assert "is at the edge of the search, the highest with a score" in capsys.readouterr().out
    assert {store.read(identity.key(c))["cell"]["recipe"]["rate_search"]["edge"] for c in calls[-1]["cells"]} == {
        "highest"
    }


def test_cells_that_run_again_do_so_once(run):
    run(top(1e-2))
    _, _, calls, _ = run(top(1e-2), rerun=("done",))
    assert [len(call["todo"]) for call in calls] == [11, 4]


def test_a_sweep_without_a_search_is_one_round(run):
    _, _, calls, _ = run(top(1e-2), {**BLOCK, RATE: {"lora": 1e-3, "default": 3e-3}})
    assert [len(call["todo"]) for call in calls] == [4]
    assert calls[0]["role"] == "test"


def test_a_grid_of_which_nothing_can_run_is_refused(run):
    with pytest.raises(UsageError, match="no number for lora"):
        run(top(1e-2), {**BLOCK, "method": "lora", RATE: {"full": 1e-3}})


def test_the_table_has_the_reported_seeds_alone(run):
    _, planned, _, store = run(lambda method, rate: top(1e-2 if method == "lora" else 1e6)(method, rate))
    for choice in (
        cell_choice.of_cells("grid", planned.cells, [BLOCK]),
        cell_choice.choose([f"store={store.path}"])[1],
        cell_choice.choose([f"store={store.path}", "grid"])[1],
    ):
        made = grid_table.make(store, choice)
        [drawn] = made.tables
        rows = {row[0].value: [entry.text for entry in row] for row in drawn.rows}
        place = drawn.columns.index("rate")
        assert rows["lora"][2] == "2"
        assert rows["lora"][place] == "1e-2"
        assert rows["full"][place] == "3e-1 ↑"
        assert (
            f"learning rates are chosen on validation with seed {USUAL_SEED}, which no number here includes"
            in drawn.notes
        )
