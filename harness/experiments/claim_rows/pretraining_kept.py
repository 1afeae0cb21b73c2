"""Claims about what training takes from the backbone."""

from harness.experiments.claim_rows.claim import declared

LOSS = "nats per word of held-out pretraining text"
WHY = "a twentieth of a nat: 5 % in the perplexity of the text"
ESTIMAND = "rise of the loss on held-out pretraining text above the bare backbone; right's less left's, paired by seed"

CLAIMS = (
    declared(
        "forgets-less",
        "{left} forgets less of the pretraining than {right}.",
        "harness.analysis.forgetting.rises:less",
        margin=0.05,
        estimand=f"{ESTIMAND}, at the end of training, mean over tasks",
        direction="above the margin",
        scale=LOSS,
        why=WHY,
        options={"left": None, "right": None},
    ),
    declared(
        "forgets-less-at-equal-score",
        "{left} forgets less of the pretraining than {right} by the time that both score the same.",
        "harness.analysis.forgetting.rises:less_at_equal_score",
        margin=0.05,
        estimand=f"{ESTIMAND}, at the first step at which each reaches the lower of their two final scores (between "
        "snapshots by a straight line), mean over tasks",
        direction="above the margin",
        scale=LOSS,
        why=WHY,
        options={"left": None, "right": None},
    ),
    declared(
        "learns-less",
        "{left} learns less than {right}.",
        "harness.analysis.views.pairs:below",
        margin=0.01,
        estimand="score of right minus that of left, paired by seed, mean over tasks",
        direction="above the margin",
        scale="score, 0 to 1",
        why="one point: a smaller difference would change nobody's choice of a method",
        options={"left": None, "right": None, "each": False},
    ),
    *(
        declared(
            name,
            sentence,
            "harness.analysis.forgetting.rises:higher_rank",
            margin=0.05,
            estimand="number of singular values that hold 90 % of the squared norm of the change of a matrix, over its "
            f"smaller side, mean over matrices; power of ten of left's over {over}right's, paired by seed",
            direction="above the margin",
            scale="power of ten of a ratio of ranks",
            why="a twentieth of a power of ten, 12 % more rank: less is one vector in ten",
            options={"left": None, "right": None, **times},
        )
        for name, sentence, over, times in (
            ("update-has-higher-rank", "The update of {left} has a higher rank than that of {right}.", "", {}),
            (
                "update-has-times-the-rank",
                "The update of {left} has more than {times:g} times the rank of that of {right}.",
                "`times` ",
                {"times": 10.0},
            ),
        )
    ),
    declared(
        "intruders-hold-forgetting",
        "Scaling {method}'s intruder dimensions by {factor} lowers the loss on pretraining text.",
        "harness.analysis.forgetting.intruders:lowers",
        margin=0.05,
        estimand="loss on held-out pretraining text with the intruders' singular values as they are, minus that with "
        "them scaled, of the same model, mean over tasks",
        direction="above the margin",
        scale=LOSS,
        why=WHY,
        options={"method": None, "factor": 0.7},
    ),
    declared(
        "intruders-hold-little-score",
        "Scaling {method}'s intruder dimensions by {factor} costs little of the score.",
        "harness.analysis.forgetting.intruders:keeps_score",
        margin=0.02,
        estimand="score with the intruders' singular values scaled, minus that with them as they are, of the same "
        "model, mean over tasks",
        direction="not more than the margin below 0",
        scale="score, 0 to 1",
        why="two points: nobody would call a larger drop small",
        options={"method": None, "factor": 0.7},
    ),
    declared(
        "intruders-accumulate",
        "Intruder dimensions of {method} accumulate over tasks learnt in sequence.",
        "harness.analysis.forgetting.accumulation:accumulate",
        margin=0.1,
        estimand="intruder dimensions per matrix at the threshold `epsilon` after the last task of a sequence, less "
        "those after its first task, paired by seed",
        direction="above the margin, for each sequence of the method",
        scale="singular vectors among the first ten of a matrix",
        why="one more in ten matrices",
        options={"method": None, "epsilon": 0.5},
    ),
)
