"""One decision on what runs: the same for a plan and for a sweep."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.config.launchers import Launcher
from harness.config.schema import Cell, RecipeConfig, Runtime
from harness.errors import Impossible, UsageError
from harness.execution import sweep, sweep_plan
from harness.execution.sweep_plan import SweepOptions, SweepPlan
from harness.experiments.grids.holes import Hole
from harness.store import identity, requested_grids
from harness.store.attempt_folder import FILE
from harness.store.store import Store

Make = Callable[..., Cell]
Decide = Callable[..., SweepPlan]


@pytest.fixture
def decide(store: Store, monkeypatch: pytest.MonkeyPatch) -> Decide:
    """`sweep_plan.decide` with a preflight in this process: methods whose name begins with `bad` cannot run."""

    def preflight(target: str, arguments: tuple[Any, ...], modules: Any) -> list[str | None]:
        pairs, _ = arguments
        names = [getattr(pair[0], "name", "") for pair in pairs]
        return [None, *(f"{name} has no place here" if name.startswith("bad") else None for name in names)]

    monkeypatch.setattr("harness.processes.forkserver.call", preflight)

    def decide(many: list[Cell], holes: tuple[Hole, ...] = (), **options: Any) -> SweepPlan:
        return sweep_plan.decide(store, many, SweepOptions(Runtime(store=str(store.path)), **options), holes)

    return decide


def _finish(store: Store, cell: Cell, status: str = "done") -> str:
    folder, key = store.begin(cell), identity.key(cell)
    record = {"schema": 1, "key": key, "attempt": folder.number, "status": status, "scores": {}}
    store.finish(
        key, folder, {**record, "cell": identity.to_json(cell), "time": {}, "provenance": {"fingerprint": "f"}}
    )
    return key


def test_all_that_cannot_run_is_named_at_once(decide: Decide, cell: Make, store: Store) -> None:
    many = [cell(method, seed) for method in ("good", "bad", "badder") for seed in (0, 1)]
    unmade = Hole("none", "stub", "stub", UsageError("no such rows"), 2)
    with pytest.raises(Impossible, match="6 of 8 cells cannot run") as raised:
        decide(many, (unmade,))
    assert [line.partition(": ")[2] for line in raised.value.lines] == [
        "no such rows", "bad has no place here", "badder has no place here",
    ]  # fmt: skip
    assert not store.path.exists()


def test_the_rest_is_planned_on_request(decide: Decide, cell: Make) -> None:
    many = [cell(method, seed) for method in ("good", "bad") for seed in (0, 1)]
    plan = decide(many, skip_impossible=True)
    assert [one.method.name for one in plan.cells] == ["good", "good"]
    assert list(plan.todo) == [identity.key(one) for one in plan.cells]
    assert {key for hole in plan.holes for key in hole.keys} == {identity.key(cell("bad", seed)) for seed in (0, 1)}
    heading, line = plan.skipped()
    assert heading.endswith("2 cells")
    assert "bad × stub × stub (2 cells): bad has no place here" in line
    with pytest.raises(UsageError, match=r"^bad has no place here$"):
        decide(many[2:], skip_impossible=True)


def test_a_child_of_a_cell_that_cannot_run_cannot_run(decide: Decide, cell: Make) -> None:
    parent = cell("bad")
    child = replace(cell("good"), parents=(("a", identity.key(parent)),))
    plan = decide([cell("good", 1), parent, child], skip_impossible=True)
    assert [one.seed for one in plan.cells] == [1]
    assert "it builds on a cell that cannot run: bad has no place here" in [hole.reason for hole in plan.holes]


def test_finished_parents_without_stored_weights_run_again(decide: Decide, cell: Make, store: Store) -> None:
    """So it is with records from an archive, and with weights that were freed."""
    oldest = cell("good")
    parent = replace(cell("good", 1), parents=(("a", identity.key(oldest)),))
    child = replace(cell("good", 2), parents=(("a", identity.key(parent)),))
    for one in (oldest, parent):
        _finish(store, one)
    plan = decide([child, parent, oldest])
    assert set(plan.todo) == {identity.key(one) for one in (oldest, parent, child)}
    assert plan.again == 2
    assert list(decide([oldest, parent]).todo) == []
    with pytest.raises(UsageError, match=r"parent a .* has no stored .* run that cell again"):
        decide([child])
    store.counting_file(identity.key(parent), FILE).write_bytes(b"weights")
    assert list(decide([child, parent, oldest]).todo) == [identity.key(child)]


def test_statuses_to_rerun_count(decide: Decide, cell: Make, store: Store) -> None:
    done, oom = _finish(store, cell("good")), _finish(store, cell("memory"), "oom")
    many = [cell("good"), cell("memory"), cell("nap")]
    assert set(decide(many).todo) == {identity.key(cell("nap"))}
    assert decide(many).stale == {done}
    assert oom in decide(many, rerun=("oom",)).todo
    assert done in decide(many, rerun=("stale",)).todo
    with pytest.raises(UsageError, match="rerun=everything"):
        decide(many, rerun=("everything",))


def test_the_launcher_and_its_jobs_count(decide: Decide, cell: Make, store: Store) -> None:
    many = [cell("good", seed) for seed in range(9)]
    assert decide(many, launcher=Launcher("joblib", {"jobs": "5"})).handing.at_once == 5
    assert decide(many, jobs=3).handing.at_once == 3
    assert decide(many, launcher=Launcher("basic")).handing.at_once == 1
    _finish(store, cell("good"))
    for launcher in (Launcher("nosuch"), Launcher("joblib", {"partition": "x"})):
        for cells in (many, many[:1]):  # also where nothing is left to run
            with pytest.raises(UsageError, match=r"nosuch|partition"):
                decide(cells, launcher=launcher)


def test_a_sweep_notes_what_it_skips(
    store: Store, stubbed: None, cell: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    unmade = Hole("none", "stub", "stub", UsageError("no such rows"), 2)
    stub = SweepOptions(Runtime(store=str(store.path)), Launcher("basic"), entry="stubs:run", check="stubs:fine")
    options = replace(stub, name="mine")
    with pytest.raises(Impossible):
        sweep.run_cells([cell()], options, [unmade])
    assert not store.path.exists()
    for _ in range(2):  # once more where nothing is left to do
        assert sweep.run_cells([cell()], replace(options, skip_impossible=True), [unmade]) == 0
        assert "none × stub × stub (2 cells): no such rows" in capsys.readouterr().out
    [grid] = requested_grids.noted(store)
    assert [(gap.cells, gap.reason) for gap in grid.gaps] == [(2, "no such rows")]


@pytest.mark.parametrize(
    ("share", "said", "at_once"), [(0.5, "auto", 4), (1.0, "auto", 2), (None, "auto", 2), (0.5, "1", 2)]
)
def test_gpus_auto_asks_how_much_of_a_device_the_cells_need(
    decide: Decide, cell: Make, monkeypatch: pytest.MonkeyPatch, share: float | None, said: str, at_once: int
) -> None:
    monkeypatch.setattr("harness.processes.gpu_leases.usable", lambda: ("GPU-a", "GPU-b"))
    asked: list[int] = []
    many = [cell(seed=seed) for seed in range(8)]
    launcher = Launcher("joblib", {"gpus": said})
    plan = decide(many, launcher=launcher, share=lambda todo: (asked.append(len(todo)), share)[1])
    assert plan.handing.at_once == at_once
    assert asked == ([8] if said == "auto" else [])


@pytest.mark.parametrize(("probe", "refused"), [("train_sample", True), ("latency", True), ("overlap", False)])
def test_a_probe_of_the_weights_is_refused_before_anything_runs_where_none_are_kept(
    store: Store, cell: Make, decide: Decide, probe: str, refused: bool
) -> None:
    options = SweepOptions(Runtime(store=str(store.path), keep="none", probe=probe))
    if not refused:
        assert len(sweep_plan.decide(store, [cell("good", 0)], options).todo) == 1
        return
    with pytest.raises(UsageError, match=f"keep=none: probe={probe} reads the trained weights"):
        sweep_plan.decide(store, [cell("good", 0)], options)


def test_two_refusals_of_a_cell_are_one_sentence(store: Store, cell: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = ["it has no such kernel. Take eager.", "its words are longer than a row.", None]
    monkeypatch.setattr("harness.processes.forkserver.call", lambda *asked: [None, *refusals])
    with pytest.raises(UsageError) as caught:
        sweep_plan.decide(store, [cell("good", 0)], SweepOptions(Runtime(store=str(store.path))))
    assert str(caught.value) == "it has no such kernel. Take eager; its words are longer than a row."


def test_a_head_that_nothing_trained_answers_at_random(cell: Make) -> None:
    """The note names each model once; steps train a head, parents bring a trained one, other objectives have none."""

    def drawn(steps: int = 0, objective: str = "classifier", **other: Any) -> Cell:
        return replace(cell(**other), objective=objective, recipe=RecipeConfig(steps=steps))

    def lines(*many: Cell) -> list[str]:
        return [line for line in sweep_plan.notes(many) if "of a guess" in line]

    assert [line[:41] for line in lines(drawn(), drawn(seed=1))] == ["model stub: recipe.steps=0 does not train"]
    taught = replace(drawn(), parents=(("a", "0" * 64),))
    assert lines(drawn(steps=1), drawn(objective="seq2seq"), taught) == []
