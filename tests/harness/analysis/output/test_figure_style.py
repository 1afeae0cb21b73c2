"""What every figure says under its panels, and the axes of panels that are compared."""

import numpy as np
import pytest

from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.experiments import exhibits, view_registry
from tests.harness.analysis.test_report import runs_for

DRAWN = {
    "ranking-figure": "delta-ranking",
    "steps-figure": "delta-convergence",
    "share-figure": "delta-methods",
    "rates-figure": "lr-tuning",
    "samples-figure": "dora-figure3",
    "field-figure": "dora-table15",
}


def drawn(name, make_grid, **options):
    exhibit = exhibits.load(DRAWN[name])
    studies = study.studies(exhibit, runs_for(exhibit, make_grid, **options))
    return view_registry.VIEWS[name].function()(studies)


def caption(figure):
    return " ".join(legend.get_title().get_text() for legend in figure.legends)


@pytest.mark.parametrize("name", DRAWN)
def test_every_caption_has_n_and_one_spelling_of_the_level(name, make_grid):
    text = caption(drawn(name, make_grid))
    assert "n = " in text
    assert "95 %" not in text


@pytest.fixture
def at_ranks(make_run):
    """Two methods at two ranks, and the floor, which has none."""
    places = [("none", None), *((method, rank) for method in ("lora", "dora") for rank in (4, 8))]
    return [
        make_run(method, "micro/qa", seed, fields={"rank": rank} if rank else None)
        for method, rank in places
        for seed in (0, 1, 2)
    ]


def test_an_arm_without_a_place_is_named(at_ranks):
    studies = study.studies(exhibits.load("dora-table15"), at_ranks)
    assert "without a place here: none\n" in caption(view_registry.VIEWS["field-figure"].function()(studies))


def test_two_methods_at_one_value_stand_beside_each_other(at_ranks):
    studies = study.studies(exhibits.load("dora-table15"), at_ranks)
    figure = view_registry.VIEWS["field-figure"].function()(studies)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and np.ptp(line.get_xdata()) > 1]
    first, second = (line.get_xdata() for line in lines[:2])
    assert not set(first) & set(second)
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_compared_panels_have_one_range():
    figure = figure_style.figure()
    left, right = figure.subplots(1, 2)
    left.set_ylim(0, 1)
    right.set_ylim(4, 5)
    figure_style.align({"score": [left, right]})
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] < 0 < 5 < left.get_ylim()[1]
