"""Scores behind which a model gives one answer to nearly all rows, or answers that cannot be read."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

UNPARSED, ONE_ANSWER, ERRORS = 0.10, 0.95, 3.0
"""A seed collapsed on a set: more than 10 % of its answers cannot be read, one answer is given to more than 95 % of
the rows, or it scores more than 3 standard errors below guessing."""
MEANING = (
    f"below guessing by {ERRORS:g} standard errors, with more than {UNPARSED:.0%} unparsed, or with one answer on more "
    f"than {ONE_ANSWER:.0%} of the rows"
)
FIGURES = ["score", "rows", "chance", "majority", "parse_failures", "commonest"]  # the input of `collapsed`


def of(rows: "pd.DataFrame") -> list[bool]:
    """Return for each row of scores whether the model had collapsed."""
    return [collapsed(*figures) for figures in rows[FIGURES].itertuples(index=False, name=None)]


def collapsed(
    score: float,
    n: float | None,
    chance: float | None,
    majority: float | None,
    failures: float | None,
    commonest: float | None,
) -> bool:
    """Return whether one seed's answers on one set are those of a broken model; an unknown one does not count.

    Where nearly all rows have one right answer, one answer to all of them is no collapse.
    """
    values = [math.nan if value is None else float(value) for value in (n, chance, majority, failures, commonest)]
    rows, guess, most, unread, same = values
    error = math.sqrt(guess * (1 - guess) / rows) if rows > 0 and 0 <= guess <= 1 else math.nan
    return score < guess - ERRORS * error or unread > UNPARSED or (same > ONE_ANSWER and not most > ONE_ANSWER)
