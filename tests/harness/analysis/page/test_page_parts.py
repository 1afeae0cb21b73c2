"""The small parts of the page: figures as images, bars of intervals, sources."""

import re

import pytest

from harness import assets
from harness.analysis.page import bibliography, exhibit_parts, figure_images, interval_bars, sources
from harness.analysis.page.sources import Shown
from harness.analysis.study import open_rates
from harness.experiments import exhibits

SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt">
 <metadata><a/></metadata>
 <g id="patch_1"><path d="M 1.234567 20.987654" style="fill: #ffffff; stroke: #0072b2"/></g>
 <defs><path id="DejaVu-31" transform="scale(0.015625)" d="M 1 2"/></defs>
 <use xlink:href="#DejaVu-31"/> <!-- a -->
</svg>"""


def comparison(**changes: object) -> dict[str, object]:
    usual = {"left": "a", "right": "b", "relation": "at least", "verdict": "inconclusive", "estimate": 0.01,
             "low": -0.02, "high": 0.04, "seeds": None, "rows": None, "reason": ""}  # fmt: skip
    return usual | changes


def test_a_figure_becomes_a_short_image_with_a_dark_variant() -> None:
    text = figure_images.image(SVG)
    assert text.startswith("<svg")
    assert "\n" not in text
    assert "M 1.2 20.9" in text
    assert "scale(0.015625)" in text
    assert '<use href="#n0"/>' in text
    assert 'id="n0"' in text
    assert "patch_1" not in text
    assert "metadata" not in text
    assert f"[style*='fill: #ffffff']{{fill:{figure_images.DARK_PAGE}!important}}" in text
    assert "[style*='stroke: #0072b2']{stroke:#4FA8E0!important}" in text


def test_colours_of_real_figures_are_left_as_they_are() -> None:
    path = next(assets.reference().glob("dora-table15/*.svg"))
    before = path.read_text()
    after = figure_images.image(before).split("</style>", 1)[1]
    assert set(re.findall(r"(?:fill|stroke): (#\w{6})", after)) == set(re.findall(r"(?:fill|stroke): (#\w{6})", before))
    assert set(re.findall(r'href="#(\w+)"', after)) <= set(re.findall(r'id="(\w+)"', after))


def test_bars_lie_in_their_picture_and_in_order() -> None:
    finding = {"margin": 0.01, "comparisons": [comparison(), comparison(estimate=0.2, low=None, high=None)]}
    drawn = interval_bars.bars(finding)
    assert drawn is not None
    first, second = drawn["rows"]
    assert 0 < first["from"] < first["at"] < first["to"] < second["at"] < drawn["width"]
    assert drawn["margins"][0] < drawn["neutral"] < drawn["margins"][1]
    assert first["text"] == "a at least b: 0.01 [-0.02, 0.04], inconclusive"
    assert second["from"] == second["to"] == second["at"]


def test_the_margin_lies_around_the_estimate_of_no_effect() -> None:
    """A share of pairs says nothing at one half, and a printed saving is met at the printed number."""
    shown = interval_bars.bars(
        {"margin": 0.1, "neutral": 0.5, "comparisons": [comparison(estimate=0.5, low=0.35, high=0.65)]}
    )
    assert shown is not None
    assert shown["rows"][0]["at"] == shown["neutral"]
    assert shown["rows"][0]["from"] < shown["margins"][0] < shown["margins"][1] < shown["rows"][0]["to"]


def test_a_claim_without_estimates_has_no_bars() -> None:
    assert interval_bars.bars({"margin": 0.01, "comparisons": [comparison(estimate=None)]}) is None
    many = interval_bars.bars({"margin": 0.0, "comparisons": [comparison()] * 9})
    assert many is not None
    assert (len(many["rows"]), many["more"]) == (interval_bars.MOST, 9 - interval_bars.MOST)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([comparison(verdict="reproduced", seeds=16, rows=2.0)], ""),
        ([comparison(seeds=16)], "16 seeds"),
        ([comparison(seeds=16), comparison(seeds=5)], "5 to 16 seeds"),
        ([comparison(rows=3.0)], "more test rows"),
        ([comparison(rows=3.0), comparison(seeds=16)], "16 seeds, more test rows"),
        ([comparison(reason=open_rates.EDGE), comparison(seeds=16)], "16 seeds, more learning rates"),
    ],
)
def test_what_would_decide_a_claim(rows: list[dict[str, object]], text: str) -> None:
    assert interval_bars.needed({"comparisons": rows}) == text


def test_every_paper_of_an_exhibit_has_an_entry() -> None:
    for name in exhibits.names():
        source = exhibits.load(name).source
        numbers = bibliography._NUMBER.findall(source)
        assert bibliography.of(source).count("@") == len(set(numbers)), name


def test_a_claim_is_filtered_by_the_papers_of_its_source_or_as_our_own() -> None:
    finding = {
        "claim": "c", "model": "m", "verdict": "reproduced", "sentence": "A scores above B: reproduced; 2 of 2.",
        "estimand": "", "margin": 0.01, "scale": "", "comparisons": [],
    }  # fmt: skip
    sources = {
        "Liu et al. 2024 (arXiv 2402.09353v6), Table 15": "Liu et al. 2024",
        "deltabench's own grid, in the setting of Dettmers et al. 2023": "Dettmers et al. 2023",
        "deltabench's own tuning; no paper": "deltabench's own",
    }
    for source, paper in sources.items():
        index = {"source": source, "scale": "quick", "cells": 1, "findings": [finding]}
        (row,) = exhibit_parts.claims([Shown("x", index, ())])
        assert (row["paper"], row["text"], row["rest"]) == (paper, "A scores above B", "2 of 2.")


def test_each_claim_has_an_address_of_its_own() -> None:
    """dora-table5 tests one claim twice, of other methods."""
    shown = sources.from_reference(["dora-table5", "dora-table6"]).exhibits
    addresses = [claim["address"] for claim in exhibit_parts.claims(shown)]
    assert len(addresses) == len(set(addresses)) > 3
