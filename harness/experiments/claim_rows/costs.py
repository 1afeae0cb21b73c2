"""Claims about score and costs together."""

from harness.experiments.claim_rows.claim import declared

POINT = "one point: a smaller difference would change nobody's choice of a method"

CLAIMS = (
    declared(
        "higher-pscp",
        "{left} has a higher PSCP than {right} where every exponent is {exponent}.",
        "harness.analysis.tradeoffs.pscp:higher",
        margin=0.01,
        estimand="score times the penalties for trainable parameters, added operations and memory, at one exponent; "
        "left's minus right's, paired by seed, mean over tasks",
        direction="above the margin",
        scale="PSCP, 0 to 1",
        why=POINT,
        options={"left": None, "right": None, "exponent": 1.0},
    ),
    declared(
        "dominates",
        "{left} dominates {right}: it costs no more, and scores at least as high.",
        "harness.analysis.tradeoffs.dominance:dominates",
        margin=0.01,
        estimand="difference of the scores of two methods, paired by seed, mean over tasks, where left's peak of "
        "memory, operations of a step and stored bytes are no larger than right's",
        direction="each cost at most right's, and the score not more than the margin below",
        scale="score, 0 to 1",
        why=POINT,
        ours=True,
        options={"left": None, "right": None},
    ),
)
