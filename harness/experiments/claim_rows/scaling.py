"""Claims about size: the backbone's, the delta's, and the number of examples that a model sees."""

from harness.experiments.claim_rows.claim import declared
from harness.experiments.claim_rows.combining import ONE_POINT

_MODULE = "harness.analysis.scaling"

ROWS = (
    declared(
        "scale-helps",
        "A larger backbone raises the score of {methods}.",
        f"{_MODULE}.model_size:helps",
        margin=0.01,
        why=ONE_POINT,
        estimand="score of a method on the largest model less that on the smallest, paired by seed, mean over tasks",
        direction="above the margin for each method",
        scale="score, 0 to 1",
        options={"methods": None},
        over_models=True,
    ),
    declared(
        "scale-speeds",
        "Convergence on a larger backbone is faster, for {methods}.",
        f"{_MODULE}.model_size:speeds",
        margin=0.1,
        why="faster in six pairs of ten: closer to one half is no order",
        estimand="share of (task, seed) pairs in which a method reaches 90 % of the smallest model's ceiling in fewer "
        "steps on the largest model than on the smallest, less one half; a tie counts half, never is last",
        direction="above the margin for each method",
        scale="share of pairs, -0.5 to 0.5",
        options={"methods": None},
        over_models=True,
    ),
    declared(
        "distance-shrinks",
        "The distance of {method} to {to} shrinks with the backbone's size.",
        f"{_MODULE}.model_size:distance_shrinks",
        margin=0.01,
        why=ONE_POINT,
        estimand="score of `to` less that of `method` on the smallest model, less the same on the largest, paired by "
        "seed, mean over tasks",
        direction="above the margin",
        scale="score, -2 to 2",
        options={"method": None, "to": None},
        over_models=True,
    ),
    declared(
        "structure-explains-more",
        "The structure of a delta explains more of the scores than the number of its parameters.",
        f"{_MODULE}.structure:explains_more",
        margin=0.1,
        why="a tenth of the variance: a smaller difference would not make one the better guide to a choice",
        estimand="share of the variance of scores between methods less that of a line over the logarithm of the "
        "trainable parameters, over methods at several sizes, both adjusted for what they fit, by seed",
        direction="above the margin",
        scale="share of variance",
    ),
    declared(
        "validation-loss-predicts",
        "Validation loss predicts the score.",
        f"{_MODULE}.loss_and_score:predicts",
        margin=0.5,
        why="a large correlation (Cohen 1988); with a weaker one the loss would often choose another method",
        estimand="Spearman's rank correlation of score and minus validation loss over methods and models, mean over "
        "tasks, by seed",
        direction="above the margin",
        scale="correlation, -1 to 1",
        any_rate="it is about the cells at hand, each at the rate that it has",
        over_models=True,
    ),
    declared(
        "tuning-above-in-context",
        "{left}, tuned on a few rows, scores above {right} with as many in the prompt.",
        f"{_MODULE}.in_context:tuning_is_better",
        margin=0.01,
        why=ONE_POINT,
        estimand="score of `left` trained on so many rows less that of `right` with as many before each text, paired "
        "by seed, mean over tasks, for each number",
        direction="above the margin at each number of rows",
        scale="score, 0 to 1",
        options={"left": None, "right": None},
    ),
    declared(
        "reaches-share",
        "{left} reaches {share:.0%} of the score of {right}.",
        f"{_MODULE}.shares_of:reaches",
        margin=0.01,
        why=ONE_POINT,
        estimand="score of `left` less that share of the score of `right`, paired by seed, mean over tasks, or over "
        "those of `tasks`",
        direction="not more than the margin below 0",
        scale="score, 0 to 1",
        options={"left": None, "right": None, "share": 1.0, "tasks": None},
    ),
    declared(
        "trains-between",
        "{left} trains {low:.1%} to {high:.0%} of the parameters.",
        f"{_MODULE}.shares_of:trains_between",
        margin=0.0005,
        why="the last digit of the printed share",
        estimand="trainable parameters as a share of the backbone's, counted",
        direction="between the printed shares",
        scale="share of the backbone's parameters",
        any_rate="counted before training",
        construction=True,
        options={"left": None, "low": 0.0, "high": 1.0},
    ),
    declared(
        "dimension-shrinks",
        "A larger backbone has a smaller intrinsic dimension.",
        f"{_MODULE}.dimension:smaller_on_larger",
        margin=0.1,
        why="smaller in six pairs of ten: closer to one half is no order",
        estimand="share of (task, seed) pairs in which the smallest dimension with 90 % of the ceiling's score is "
        "smaller on the largest model than on the smallest, less one half; a tie counts half, none reached is last",
        direction="above the margin",
        scale="share of pairs, -0.5 to 0.5",
        over_models=True,
    ),
)
