"""Claims about what tuning finds: best learning rates, and differences that tuning leaves. Torch-free."""

from harness.experiments.claim_rows.claim import Claim, declared

_TUNING = "harness.analysis.tuning"
_COUNTED = "operations are counted, and are the same at every rate"
_RATE = "the best rate itself is estimated, from all rates tried"

CLAIMS: tuple[Claim, ...] = (
    declared(
        "ratio-of-best-rates",
        "The best learning rate of {left} is about {ratio:g} times that of {right}{when}.",
        f"{_TUNING}.best_rates:ratio",
        margin=0.3,
        estimand="log10 of left's best rate over right's, less log10 of the printed ratio; a best rate is the lowest "
        "point of a parabola through the mean log validation losses over log rates",
        direction="within the margin on both sides",
        scale="decades of the rate",
        why="a factor of two, the step of the grids: a closer rate would change nobody's choice",
        any_rate=_RATE,
        options={"left": None, "right": None, "ratio": 1.0, "steps": None, "when": ""},
    ),
    declared(
        "best-rates-alike",
        "The best learning rate of {method} hardly depends on its {field}.",
        f"{_TUNING}.best_rates:alike",
        margin=0.3,
        estimand="log10 of the ratio of the best rates of two arms that differ in `field`, for all pairs",
        direction="within the margin on both sides, for every pair",
        scale="decades of the rate",
        why="less than a factor of two, as published",
        any_rate=_RATE,
        options={"method": None, "field": "rank"},
    ),
    declared(
        "costs-share-of-operations",
        "A step of {left} costs about {share:.0%} of the operations of full fine-tuning.",
        f"{_TUNING}.operations:share",
        margin=0.05,
        estimand="counted operations of a step of left over those of the ceiling's, less the printed share, for the "
        "arms that train at most `most_trained` of the parameters",
        direction="within the margin on both sides",
        scale="share of the ceiling's operations",
        why="five points: the formula leaves out attention, which differs by model and length",
        any_rate=_COUNTED,
        construction=True,
        options={"left": None, "share": 2 / 3, "most_trained": 0.05},
    ),
    declared(
        "operations-follow-formula",
        "A step of {left} costs (2 N^2 + 6 N R) / (3 N^2) of the operations of full fine-tuning.",
        f"{_TUNING}.operations:formula",
        margin=0.05,
        estimand="counted operations of a step of left over those of the ceiling's, less 2/3 and the trained share",
        direction="within the margin on both sides, at every rank",
        scale="share of the ceiling's operations",
        why="five points: the formula leaves out attention, which differs by model and length",
        any_rate=_COUNTED,
        construction=True,
        options={"left": None},
    ),
    *(
        declared(
            name,
            sentence,
            f"{_TUNING}.equivalence:{test}",
            margin=0.02,
            estimand=f"difference of a variant's score and the reference's, {where}, paired by seed, mean over tasks",
            direction="within the margin on both sides, for every variant (two one-sided tests)",
            scale="score, 0 to 1",
            why="two points, the largest difference that was published",
            any_rate=any_rate,
            ours=ours,
            options={"reference": None},
        )
        for name, test, where, any_rate, ours, sentence in (
            (
                "equivalent-once-tuned",
                "once_tuned",
                "each at its own tuned rate",
                "",
                False,
                "Once rates are tuned, every variant scores like the plain method.",
            ),
            (
                "equivalent-at-one-rate",
                "at_one_rate",
                "all at one rate",
                "the claim is about one shared rate",
                True,
                "At one shared rate, every variant scores like the plain method.",
            ),
        )
    ),
)
