"""Every exhibit's grids for a GPU compose and validate here: no weights, no data, no Hub."""

import pytest

from harness.config.schema import Cell
from harness.execution import preflight
from harness.experiments import exhibits
from harness.experiments.grids import options
from harness.experiments.grids.blocks import values
from harness.forecast import gpu_hours

GRIDS = [
    (name, scale)
    for name, exhibit in exhibits.catalogue().items()
    for scale in exhibit.grids
    if scale not in exhibits.HERE
]


def walk(name: str, scale: str) -> list[Cell]:
    return gpu_hours.cells_of(exhibits.load(name).blocks(scale))


def test_there_are_paper_grids() -> None:
    assert {"delta-ranking", "delta-convergence"} <= {name for name, scale in GRIDS if scale == "paper"}


@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_a_grid_composes_without_weights_data_or_hub(name: str, scale: str) -> None:
    found = walk(name, scale)
    blocks = exhibits.load(name).blocks(scale)
    wanted = {task for block in blocks for one in values(block, "task") for task in options.match("task", one)}
    assert {cell.task.name for cell in found} == wanted
    for cell in found:
        assert cell.model.architecture
        assert cell.recipe.learning_rate > 0
    ceiling = exhibits.load(name).ceiling
    assert ceiling is None or ceiling in {cell.method.name for cell in found}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_a_grids_methods_fit_its_models(name: str, scale: str) -> None:
    pairs = {repr(pair): pair for cell in walk(name, scale) for pair in [(cell.method, cell.model, cell.objective)]}
    device, *answers = preflight.preflight(list(pairs.values()))
    assert device is None
    assert [answer for answer in answers if answer] == []


@pytest.fixture(scope="module")
def forecasts() -> gpu_hours.Forecasts:
    """The forecasts of all grids: more than a third of the grids' kinds of cells stand in several of them."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), GRIDS)
def test_a_grids_memory_and_hours_can_be_forecast(name: str, scale: str, forecasts: gpu_hours.Forecasts) -> None:
    found = walk(name, scale)
    lines = gpu_hours.lines(found, gpu_hours.DEVICE, forecasts)
    assert [line.reason for line in lines if line.reason] == []
    assert sum(line.cells for line in lines) == len(found)
    trained = [line for line in lines if line.method != "none"]
    assert all(line.peak and bool(line.hours) == bool(line.steps) for line in trained)  # hours of training steps
