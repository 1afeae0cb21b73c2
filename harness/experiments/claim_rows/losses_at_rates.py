"""Claims about losses at the best rates: of other layers, other ranks and other sizes of a batch. Torch-free."""

from harness.experiments.claim_rows.claim import Claim, declared

_TUNING = "harness.analysis.tuning"
_SCALE = "natural logarithm of the ratio of two losses"
_WHY = "about ten percent of a loss: seeds alone move it as much"
_LOWEST = "log of left's lowest validation loss over right's, each at its tuned rate, paired by seed, mean over tasks"

CLAIMS: tuple[Claim, ...] = (
    declared(
        "higher-loss",
        "{left} ends with a higher loss than {right}.",
        f"{_TUNING}.loss_differences:higher",
        margin=0.1,
        estimand=_LOWEST,
        direction="above the margin",
        scale=_SCALE,
        why=_WHY,
        options={"left": None, "right": None},
    ),
    declared(
        "similar-loss",
        "{left} ends with the same loss as {right}.",
        f"{_TUNING}.loss_differences:alike",
        margin=0.1,
        estimand=_LOWEST,
        direction="within the margin on both sides (two one-sided tests)",
        scale=_SCALE,
        why=_WHY,
        options={"left": None, "right": None},
    ),
    declared(
        "pays-more-for-large-batches",
        "Large batches cost {left} more than {right}, at every rank.",
        f"{_TUNING}.batch_cost:more",
        margin=0.1,
        estimand="log of left's lowest validation loss at the largest batch over that at the smallest, less the same "
        "of right, each at its tuned rate, paired by seed, mean over tasks",
        direction="above the margin, for each variant of left",
        scale=_SCALE,
        why=_WHY,
        options={"left": None, "right": None},
    ),
    declared(
        "leaves-the-common-line",
        "{left} leaves the common line of losses: its training loss ends above that of {right}.",
        f"{_TUNING}.loss_lines:ends_higher",
        margin=0.1,
        estimand="log of left's mean training loss over the last steps over right's, each seed at the rate that the "
        "other seeds choose, paired by seed",
        direction="above the margin",
        scale=_SCALE,
        why=_WHY,
        any_rate="each seed has the best rate of the other seeds; a rate at the end of the grid is inconclusive",
        options={"left": None, "right": None},
    ),
)
