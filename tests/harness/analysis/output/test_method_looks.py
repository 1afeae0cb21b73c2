"""Every method has one look everywhere, which colour-blind readers and grey prints keep apart."""

from itertools import combinations

import numpy as np
import pytest

from harness.analysis.output import figure_style, method_looks
from methods import registry

PLUG_INS = [f"plug_in_{number}" for number in range(40)]
# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as two kinds of colour-blind readers see it.
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "full colour": np.eye(3),
}


def linear(color: str) -> np.ndarray:
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(to_xyz @ rgb, 0.0089, None) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def luminance(color: str) -> float:
    return float(linear(color) @ [0.2126, 0.7152, 0.0722])


def test_the_palette_names_methods_that_exist_each_once():
    neutral, order = method_looks._palette()
    names = [*neutral, *order]
    assert len(names) == len(set(names)) <= method_looks.LISTED
    assert set(names) <= set(registry.catalogue())


def test_no_two_methods_look_alike():
    neutral, order = method_looks._palette()
    looks = {(look.color, look.marker) for look in map(method_looks.of, (*neutral, *order))}
    assert len(looks) == len(neutral) + len(order)


def test_a_plug_in_looks_as_no_listed_method_does():
    listed = {(look.color, look.marker) for look in map(method_looks._at, range(method_looks.LISTED))}
    assert not listed & {(look.color, look.marker) for look in map(method_looks.of, PLUG_INS)}
    assert len({method_looks.of(name) for name in PLUG_INS}) > 30


def test_a_look_depends_on_the_name_alone(monkeypatch: pytest.MonkeyPatch):
    before = [method_looks.of(name) for name in ("lora", *PLUG_INS)]
    neutral, order = method_looks._palette()
    monkeypatch.setattr(method_looks, "_palette", lambda: (neutral, (*order, "a_new_method")))
    assert [method_looks.of(name) for name in ("lora", *PLUG_INS)] == before


@pytest.mark.parametrize("reader", SEEN)
def test_the_first_methods_differ_for_every_reader(reader: str):
    colours = [lab(np.clip(np.array(SEEN[reader]) @ linear(color), 0, 1)) for color, _ in method_looks.COLOURS[:6]]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(colours, 2)) > 10


def test_in_grey_the_markers_differ_or_the_grey_does():
    neutral, order = method_looks._palette()
    for first, second in combinations(map(method_looks.of, (*neutral, *order)), 2):
        if first.marker == second.marker:
            assert first.color != second.color
    first_round = [method_looks.of(name).marker for name in order[: len(method_looks.MARKERS)]]
    assert len(set(first_round)) == len(first_round)


@pytest.mark.parametrize(("place", "page", "least"), [(0, "#ffffff", 1.8), (1, "#14171c", 4.5)])
def test_a_colour_stands_out_from_its_page(place: int, page: str, least: float):
    behind = luminance(page)
    for pair in (*method_looks.COLOURS, *method_looks.NEUTRAL):
        bright, dim = sorted((luminance(pair[place]), behind), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= least, pair


def test_variants_have_the_marker_of_their_method_and_lighter_colours():
    looks = figure_style.variants({"lora rank=1": "lora", "lora rank=4": "lora", "lora rank=8": "lora", "b": "bitfit"})
    alone = figure_style.variants({"lora": "lora"})["lora"]
    variants = [looks[f"lora rank={rank}"] for rank in (1, 4, 8)]
    assert variants[0] == alone
    assert {look["marker"] for look in variants} == {alone["marker"]}
    shades = [luminance(look["color"]) for look in variants]
    assert shades == sorted(shades)
    assert len(set(shades)) == 3
    assert looks["b"]["color"] not in {look["color"] for look in variants}
