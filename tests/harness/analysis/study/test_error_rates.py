"""Wrong verdicts and coverage, simulated at 2 to 10 seeds: on the committed page, and anew in the slow suite."""

import re

import pytest

from harness import assets
from tests.benchmarks import error_rates


def rows() -> dict[tuple[str, str], list[float]]:
    """(what, situation) -> the shares of the committed page, by the number of seeds."""
    text = (assets.reference() / "error-rates.md").read_text(encoding="utf-8")
    lines = [[entry.strip() for entry in line.strip("|\n").split("|")] for line in text.splitlines() if "%" in line]
    tables = [line for line in lines if len(line) > 1]
    return {
        (line[0], line[1]) if len(line) > 3 else ("over looks", line[0]): [
            float(entry.removesuffix(" %")) / 100 for entry in line if re.fullmatch(r"[\d.]+ %", entry)
        ]
        for line in tables
    }


def test_the_page_has_every_rule_in_every_situation() -> None:
    names = ["the interval holds the truth", *error_rates.trials(), "over looks"]
    assert set(rows()) == {(name, situation) for name in names for situation in error_rates.SITUATIONS}


def test_no_rate_of_the_page_is_too_high() -> None:
    """Nominal are 5 %; three standard errors of a thousand repeats are 2 %.

    Five seeds that each win or lose all of their pairs at once show no spread by luck, which the page says.
    """
    for (name, situation), shares in rows().items():
        if name.startswith("the interval"):
            assert all(0.93 <= share <= 0.97 for share in shares), situation
        else:
            by_luck = (name, situation) == ("share of pairs", "six tasks, moved as one")
            assert max(shares) <= (0.1 if by_luck else 0.071), (name, situation)


@pytest.mark.slow
@pytest.mark.parametrize("situation", error_rates.SITUATIONS)
def test_the_rates_of_the_page_come_out_again(situation: str) -> None:
    repeats = 400
    page = rows()
    for name, trial in {"the interval holds the truth": error_rates.covered, **error_rates.trials()}.items():
        for seeds, stated in zip(error_rates.SEEDS, page[name, situation], strict=True):
            share = error_rates.share(trial, situation, seeds, repeats)
            assert share == pytest.approx(stated, abs=3 * (max(stated * (1 - stated), 0.01) / repeats) ** 0.5), name
    over_looks = error_rates.wrong_over_looks, error_rates.wrong_share_over_looks
    for trial, stated in zip(over_looks, page["over looks", situation], strict=True):
        assert error_rates.share(trial, situation, 30, repeats) == pytest.approx(stated, abs=0.035), trial
