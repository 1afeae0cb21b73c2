"""What to do next about comparisons that the cells at hand do not decide."""

from collections.abc import Sequence

from harness.analysis.study import open_rates
from harness.experiments.verdict import Comparison

ONE_SEED = "one seed has no spread"
FEW_SEEDS = "fewer than three seeds"
STEPS = (
    (open_rates.ALONE, "search for rates with `recipe.learning_rate=tuned`"),
    (open_rates.EDGE, "search beyond the edge with `recipe.learning_rate=tuned`"),
    (open_rates.REPORTED, "choose rates on other seeds, with `recipe.learning_rate=tuned`"),
    (open_rates.TIED, "tell the rates apart with more validation rows, `task.validation_size=`"),
    (ONE_SEED, "run several seeds, for example `seed=0,1,2`"),
    ("no seed was run", "run the missing cells: the same command again runs them"),
)
"""The beginning of a comparison's reason, and what to do about it."""


def next_steps(comparisons: Sequence[Comparison]) -> str:
    """Return what to do about the comparisons without a verdict, as one sentence; "" where none has such a reason."""
    reasons = {row.reason for row in comparisons if row.verdict in ("inconclusive", "untested")}
    steps = [step for start, step in STEPS if any(reason.startswith(start) for reason in reasons)]
    return f"To decide more: {'; '.join(steps)}." if steps else ""
