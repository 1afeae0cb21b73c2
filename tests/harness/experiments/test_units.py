"""Every scale has a unit, and a verdict that its numbers alone do not show names what counts."""

import pytest

from harness.analysis.study import findings
from harness.experiments import claims, units
from harness.experiments.verdict import Comparison


def row(verdict: str, *numbers: float | None, relation: str = "above") -> Comparison:
    return Comparison("a", "b", relation, verdict, *numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", claims.names())
def test_every_claim_has_a_unit_that_fits_its_scale(name: str) -> None:
    claim = claims.find(name)
    unit = units.of(claim)
    assert (unit is units.POINTS) == claim.scale.startswith(("score", "PSCP")), claim.scale
    assert unit.text(row("reproduced", 0.3, 0.2, 0.4)).count("[") == 1
    assert unit.text(row("reproduced", None)) == ""
    assert any(digit.isdigit() for digit in unit.least(claim.margin))


def test_no_unit_is_of_a_scale_that_no_claim_has() -> None:
    assert set(units.UNITS) == {claim.scale for claim in claims.CLAIMS.values()}


@pytest.mark.parametrize(
    ("name", "numbers", "text"),
    [
        ("scores-above", (-0.079, -0.131, -0.027), "-7.9 points [-13.1, -2.7]"),
        ("order-of-convergence", (0.94, 0.76, 1.0), "94 % of the pairs [76, 100]"),
        ("scale-speeds", (-0.4, -0.5, -0.2), "10 % of the pairs [0, 30]"),
        ("structure-explains-more", (0.28, 0.13, 0.42), "+28.0 % of the variance [+13.0, +42.0]"),
        ("validation-loss-predicts", (0.4, 0.1, 0.6), "0.40 [0.10, 0.60]"),
        ("transfers-within-category", (-0.2, -0.3, -0.1), "-20.0 % of the own delta's score [-30.0, -10.0]"),
    ],
)
@pytest.mark.parametrize("verdict", ["reproduced", "contradicted"])
def test_a_decided_comparison_has_its_estimate_in_the_unit_of_its_claim(
    name: str, numbers: tuple[float, ...], text: str, verdict: str
) -> None:
    sentence = findings.sentence(claims.find(name), verdict, (row(verdict, *numbers),), {})
    assert f"1 {'of 1 comparisons ' if verdict == 'reproduced' else ''}{verdict} (a vs b: {text})" in sentence


def test_a_comparison_that_is_contradicted_without_a_number_has_its_reason() -> None:
    dear = Comparison("a", "b", "costs at most", "contradicted", reason="it costs more: operations")
    text = findings.sentence(claims.find("dominates"), "contradicted", (dear,), {})
    assert "(a vs b: it costs more: operations)" in text


@pytest.mark.parametrize(
    ("name", "verdict", "numbers", "least"),
    [
        ("leaves-the-common-line", "contradicted", (-0.06, -0.2, 0.08), "11 %"),
        ("best-rates-alike", "reproduced", (0.02, -0.15, 0.2), "a factor of 2"),
        ("less-memory", "contradicted", (0.006, None, None), "5 %"),
        ("as-fast-once-merged", "reproduced", (-0.006, -0.056, 0.043), "5 %"),
        ("scores-at-least", "reproduced", (0.02, -0.005, 0.045), "1 point"),
        ("intruders-hold-little-score", "reproduced", (0.0, -0.01, 0.01), "2 points"),
        ("order-of-convergence", "contradicted", (0.3, 0.1, 0.5), "10 % of the pairs"),
        ("scores-above", "contradicted", (-0.04, -0.08, -0.005), "1 point"),
    ],
)
def test_an_interval_that_reaches_into_the_margin_names_it(
    name: str, verdict: str, numbers: tuple[float, ...], least: str
) -> None:
    claim = claims.find(name)
    said = units.what_counts(claim, claim.margin, (row(verdict, *numbers),))
    assert said == f"Only a difference by more than {least} counts."


@pytest.mark.parametrize(
    ("name", "verdict", "numbers"),
    [
        ("scores-above", "contradicted", (-0.079, -0.131, -0.027)),
        ("scores-above", "reproduced", (0.33, 0.27, 0.39)),
        ("scores-above", "inconclusive", (0.0, -0.1, 0.1)),
        ("fewer-parameters", "reproduced", (0.05, None, None)),
        ("order-of-convergence", "reproduced", (0.94, 0.76, 1.0)),
    ],
)
def test_an_interval_beyond_the_margin_needs_no_words(name: str, verdict: str, numbers: tuple[float, ...]) -> None:
    claim = claims.find(name)
    assert units.what_counts(claim, claim.margin, (row(verdict, *numbers),)) == ""


def test_an_estimate_is_turned_to_its_own_side() -> None:
    assert units.sided(row("contradicted", -7.56, -8.02, -7.1)) == ("7.56 [7.10, 8.02]", False)
    assert units.sided(row("inconclusive", 0.05, -0.06, 0.16)) == ("0.05 [-0.06, 0.16]", True)
    assert units.sided(row("inconclusive", -0.05, -0.16, 0.06)) == ("0.05 [-0.06, 0.16]", False)
