"""What the meta device says is what really lives, for every method; and forecasts that are known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.config.schema import Cell
from harness.config.step_load import Load
from harness.errors import UsageError
from harness.experiments.grids import options
from harness.forecast import quantised_shapes, synthetic_step
from harness.forecast.compute import Course, answers, largest
from harness.forecast.prepared_cell import prepare
from harness.measurement.allocations import CATEGORIES
from tests.turns import every_second

GIB, MIB = 2**30, 2**20
SHORT = Load(12, 4)
Make = Callable[..., Cell]


def _course(made: Cell, load: Load = SHORT) -> Course:
    with quantised_shapes.stood_in():
        return Course(prepare(made, load))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        *(pytest.param(*one.values, {}, marks=one.marks) for one in every_second(options.names("method"))),
        *((name, {"method__bits": 8}) for name in ("qlora", "qdora")),
    ],
)
def test_the_forecast_is_what_really_lives(cell: Make, method: str, fields: dict[str, Any]) -> None:
    """The same step on the CPU and on the meta device: byte for byte, but for what a real tensor may need in place."""
    try:
        made = cell(method, model__attention="eager", recipe__dropout=0.0, **fields)
        subject = prepare(made, SHORT, torch.device("cpu"), as_cuda=False)
        real = synthetic_step.follow(subject, 4)
        with quantised_shapes.stood_in():
            forecast = synthetic_step.follow(prepare(made, SHORT, torch.device("meta"), as_cuda=False), 4)
    except UsageError as error:
        pytest.skip(f"not by itself, or not here: {error}")
    libraries = {type(module).__module__.partition(".")[0] for module in subject.model.modules()}
    own_buffers = "bitsandbytes" in libraries or any(isinstance(m, torch.nn.RNNBase) for m in subject.model.modules())
    assert forecast.most() == pytest.approx(real.most(), rel=0.1 if own_buffers else 0.01)
    if "bitsandbytes" not in libraries:  # its scales are nobody's parameters
        assert forecast.peak().split["parameters"] == pytest.approx(real.peak().split["parameters"], rel=0.01)


@pytest.mark.parametrize(("dropout", "own"), [(0.1, 0.0), (0.0, 0.5), (0.1, 0.5)])
def test_the_forecast_knows_of_dropout(cell: Make, dropout: float, own: float) -> None:
    """The backbone's and the method's own: what it keeps for the backward pass lives, really and in the forecast."""

    def most(dropout: float, own: float, device: str) -> int:
        made = cell("lora", model__attention="eager", recipe__dropout=dropout, method__dropout=own)
        return int(synthetic_step.follow(prepare(made, SHORT, torch.device(device), as_cuda=False), 4).most())

    forecast = most(dropout, own, "meta")
    assert forecast == pytest.approx(most(dropout, own, "cpu"), rel=0.01)
    assert forecast > most(0.0, 0.0, "meta")


@pytest.mark.parametrize(
    ("method", "model", "kernel", "gib"),
    [("full", "t5-base", "auto", 3.51), ("lora", "t5-base", "plain", 0.96), ("full", "t5-3b", "auto", 42.74)],
)
def test_known_peaks(cell: Make, method: str, model: str, kernel: str, gib: float) -> None:
    """As MemTracker has them: batch 1, 128 input tokens, 8 target tokens, fp32, AdamW."""
    told = _course(cell(method, model), Load(128, 8, kernel)).at(1)
    assert told["peak_bytes"] / GIB == pytest.approx(gib, abs=0.01)
    assert told["attention"] == [kernel if kernel == "plain" else "memory_efficient"]


def test_the_figures_add_up_and_say_what_was_asked(cell: Make) -> None:
    told = _course(cell("adapter", recipe__precision="bf16")).at(8)
    assert tuple(told["split"]) == CATEGORIES
    assert sum(told["split"].values()) == told["peak_bytes"] == max(told["phases"].values())
    assert set(told["phases"]) == {"forward", "backward", "update"}
    assert (told["batch_size"], told["input_tokens"], told["target_tokens"]) == (8, 12, 4)
    assert (told["precision"], told["optimizer"], told["attention"]) == ("bf16", "adamw", ["memory_efficient"])
    assert told["parameters"]["delta"] > 0
    assert all(isinstance(value, int) for value in (told["peak_bytes"], *told["split"].values()))


@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
def test_every_batch_size_from_two(cell: Make, method: str) -> None:
    made = cell(method)
    course = _course(made)
    for rows in (1, 2, 5):
        course.log(rows)
    for rows in (3, 17, 64):
        direct = synthetic_step.follow(prepare(made, SHORT), rows)
        assert course.peak(rows) == direct.most()
        assert course.log(rows).peak() == direct.peak()


def test_what_saves_memory_saves_memory(cell: Make) -> None:
    load = Load(64, 8)
    plain = _course(cell("full", "t5-small"), load).at(32)
    blocks = _course(cell("full", "t5-small"), replace(load, checkpointing=True)).at(32)
    parts = _course(cell("full", "t5-small"), replace(load, accumulation=4)).at(32)
    fused = _course(cell("full", "t5-small", recipe__optimizer="lomo"), load).at(32)
    frozen = _course(cell("lora", "t5-small"), load).at(32)
    for less in (blocks, parts, fused, frozen):
        assert less["peak_bytes"] < plain["peak_bytes"]
    assert blocks["split"]["activations"] < plain["split"]["activations"] / 2
    assert fused["split"]["optimizer"] == 0
    assert (
        parts["phases"]["forward"] > _course(cell("full", "t5-small"), load).at(8)["phases"]["forward"]
    )  # old gradients live on


def test_what_a_quantised_base_takes(cell: Make) -> None:
    """Bytes of the linears: NF4 with its nested scales; LLM.int8() with a float per row."""
    made = (cell("lora", "llama-7b"), cell("qlora", "llama-7b"), cell("qlora", "llama-7b", method__bits=8))
    full, four, eight = (_course(one).at(1)["split"]["parameters"] for one in made)
    linears, rows = 32 * (4 * 4096**2 + 3 * 4096 * 11008), 32 * (5 * 4096 + 2 * 11008)
    assert full - four == pytest.approx(linears * (4 - 0.5 - 1 / 64 - 4 / 64 / 256), rel=1e-3)
    assert full - eight == pytest.approx(linears * 3 - 4 * rows, rel=1e-3)


@pytest.mark.parametrize("room", [0, 99, 100, 101, 1000, 10**9])
def test_the_largest_that_fits(room: int) -> None:
    found = largest(lambda rows: 40 + 60 * rows, room)
    assert found == 0 or 40 + 60 * found <= room
    assert found >= 65_536 or 40 + 60 * (found + 1) > room


def test_what_fits_a_device(cell: Make) -> None:
    from harness.store import identity as cells

    made = cells.to_json(cell("full"))
    ((small, large),) = answers([(made, vars(Load(128, 8)), [1, 256], 700 * MIB)])
    assert isinstance(small, dict)
    assert isinstance(large, dict)
    assert small["fits"]
    assert small["accumulation_to_fit"] == 1
    assert not large["fits"]
    assert 1 <= small["largest_batch"] == large["largest_batch"] < 256
    parts = large["accumulation_to_fit"]
    ((whole, cut),) = answers([(made, vars(Load(128, 8, accumulation=parts)), [256, 256], 700 * MIB)])
    assert whole == cut
    assert whole["fits"]
    ((less,),) = answers([(made, vars(Load(128, 8, accumulation=parts - 1)), [256], 700 * MIB)])
    assert not less["fits"]


def test_one_that_cannot_be_leaves_the_others_theirs(cell: Make) -> None:
    from harness.store import identity as cells

    good = cells.to_json(cell("lora"))
    bad: Any = {**good, "method": {**good["method"], "rank": 10**6}}
    told = answers([(bad, vars(SHORT), [1], None), (good, vars(SHORT), [1], None)])
    assert isinstance(told[0], str)
    assert "rank" in told[0]
    assert isinstance(told[1], list)


@pytest.mark.parametrize("method", ["lora", "dora", "full", "prefix"])
def test_a_step_has_the_same_storages_in_the_same_order(
    cell: Callable[..., Cell], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log() -> Any:
        return synthetic_step.follow(prepare(cell(method), Load(12, 4)), 3)

    fast = [log(), log()][1]
    monkeypatch.setattr(synthetic_step, "_RESULTS", None)
    slow = log()
    assert fast.same_course(slow)
    assert fast.sizes.tolist() == slow.sizes.tolist()
    assert fast.operations == slow.operations
    assert min(fast.operations.values()) > 0


@pytest.mark.parametrize("optimizer", ["adamw", "lomo", "galore"])
@pytest.mark.parametrize("method", ["full", "lora", "dora", "prefix", "last_layer", "ssf"])
def test_the_last_part_of_a_batch_has_the_peak_of_all_its_parts(
    cell: Callable[..., Cell], method: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow form runs the first part, too, which leaves gradients."""
    subject = prepare(cell(method, recipe__optimizer=optimizer), Load(12, 4, accumulation=3))
    fast = synthetic_step.follow(subject, 3)
    assert synthetic_step.parts_run(subject) == (2 if optimizer == "lomo" else 1)
    monkeypatch.setattr(synthetic_step, "parts_run", lambda _: 2)
    slow = synthetic_step.follow(prepare(cell(method, recipe__optimizer=optimizer), Load(12, 4, accumulation=3)), 3)
    assert fast.most() == slow.most()
    assert fast.peak() == slow.peak()
    assert [fast.most(phase) for phase in slow.phases()] == [slow.most(phase) for phase in slow.phases()]
    if optimizer != "lomo":
        update = {"update": slow.operations["update"]} if "update" in slow.operations else {}
        assert slow.operations == {**{phase: 2 * count for phase, count in fast.operations.items()}, **update}
