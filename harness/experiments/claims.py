"""Claims by name: each states what it estimates, the direction, the smallest effect of interest and the scale.

A claim of a paper is tested on records and ends in one of four words:

- reproduced: the interval lies beyond the margin on the claim's side;
- contradicted: it lies wholly on the other side of the margin;
- inconclusive: the interval contains the margin; the number of seeds that would decide is given;
- untested: the cells at hand cannot decide it, with the reason.

A claim that holds however training goes is "by construction" instead of reproduced. A claim with a printed number is
tested on both sides, at the printed setting: a saving far above the printed one contradicts it as well.

Torch-free and pandas-free: `deltabench list claims` reads this.
"""

from harness.experiments.claim_rows import (
    averaged_weights,
    combining,
    costs,
    losses_at_rates,
    pretraining_kept,
    scaling,
    tuned_rates,
)
from harness.experiments.claim_rows.claim import Claim as Claim
from harness.experiments.claim_rows.claim import declared as _claim
from harness.experiments.claim_rows.claim import side_text as side_text

CLAIMS = {
    claim.name: claim
    for claim in (
        *combining.ROWS,
        *scaling.ROWS,
        _claim(
            "order-of-scores",
            "The methods' average scores come in the published order.",
            "harness.analysis.study.comparisons:by_score",
            margin=0.01,
            estimand="difference of two methods' scores, paired by seed, mean over tasks",
            direction="the method that is published higher scores higher",
            scale="score, 0 to 1",
            why="one point: a smaller difference would change nobody's choice of a method",
            options={"quantity": "score"},
        ),
        _claim(
            "order-of-convergence",
            "The methods reach the target score in the published order; equal ranks are called similar.",
            "harness.analysis.study.convergence_speed:by_steps",
            margin=0.1,
            estimand="share of (task, seed) pairs in which one method reaches the target in fewer steps; "
            "a tie counts half, never reaching it counts as last",
            direction="the method that is published faster wins in more than half plus the margin; methods "
            "called similar stay within one half +- `near`",
            scale="share of pairs, 0 to 1",
            neutral=0.5,
            why="faster in six pairs of ten: closer to one half is no order",
            options={"quantity": "convergence", "target": 0.9, "near": 0.2},
        ),
        _claim(
            "comparable-in-most-cases",
            "In most cases a method comes close to the ceiling's score.",
            "harness.analysis.study.comparisons:comparable",
            margin=0.05,
            estimand="share of (method, task, seed) cases that are at most `near` below the ceiling of the "
            "same task and seed, minus one half; floor and ceiling themselves do not count",
            direction="above the margin",
            scale="share of cases, -0.5 to 0.5",
            why="most: clearly more than half of the cases",
            options={"near": 0.05},
        ),
        *(
            _claim(
                name,
                sentence,
                "harness.analysis.views.field_values:at_each",
                margin=0.01,
                why="one point: a smaller difference would change nobody's choice of a method",
                estimand="difference of two methods' scores at one value of `field` (left's at `ratio` times right's), "
                "paired by seed, mean over sets",
                direction="left is not more than the margin below right; with relation 'above', higher by the margin",
                scale="score, 0 to 1",
                options={"left": None, "right": None, "field": "rank", "ratio": ratio, "relation": "at least"},
            )
            for name, ratio, sentence in (
                ("at-least-at-each", 1, "{left} scores at least as high as {right} at each {field}."),
                ("at-least-at-half", 0.5, "{left} at half of {right}'s {field} scores at least as high."),
            )
        ),
        *(
            _claim(
                name,
                sentence,
                f"harness.analysis.views.latency:{test}",
                margin=margin,
                why="the variation of ratios of seconds without a cause; twice that where a method should add nothing",
                estimand="time to answer a batch over that of the bare backbone, measured in turns within one "
                "process, minus 1; "
                "mean over tasks",
                direction=direction,
                scale="share of the bare backbone's time",
                options={"method": None, "state": state, "batch": 1},
                any_rate="the operations of an answer are the same at every rate",
            )
            for name, test, state, margin, sentence, direction in (
                ("slow-to-answer", "slower", "unmerged", 0.02, "{method} adds inference latency.", "above the margin"),
                (
                    "as-fast-once-merged",
                    "as_fast",
                    "merged",
                    0.05,
                    "{method}, once merged, adds no inference latency.",
                    "below the margin",
                ),
            )
        ),
        _claim(
            "less-sensitive-to",
            "{left}'s score varies less over {field}s than {right}'s.",
            "harness.analysis.views.field_values:less_sensitive",
            margin=1e-4,
            estimand="variance of the mean scores over the values of `field`, minus the variance that seeds "
            "alone give; right's minus left's",
            direction="above the margin",
            scale="squared score",
            why="the square of one point",
            options={"left": None, "right": None, "field": "rank"},
        ),
        *(
            _claim(
                name,
                sentence,
                f"harness.analysis.views.pairs:{test}",
                margin=0.01,
                why="one point: a smaller difference would change nobody's choice of a method",
                estimand="difference of two arms' scores, paired by seed, mean over columns, or with `each` in every "
                "column (a task, a test set, a number of training rows)",
                direction=direction,
                scale="score, 0 to 1",
                options={"left": None, "right": None, "each": False},
            )
            for name, test, sentence, direction in (
                ("scores-above", "above", "{left} scores above {right}.", "above the margin"),
                (
                    "scores-at-least",
                    "at_least",
                    "{left} scores at least as high as {right}.",
                    "not more than the margin below",
                ),
            )
        ),
        _claim(
            "fewer-parameters",
            "{left} trains fewer parameters than {right}.",
            "harness.analysis.views.pairs:fewer_parameters",
            margin=0.01,
            estimand="trainable parameters of left over those of right, counted",
            direction="below 1 less the margin",
            scale="share of right's parameters",
            neutral=1.0,
            any_rate="counted before training",
            why="one percent of the parameters",
            construction=True,
            options={"left": None, "right": None},
        ),
        _claim(
            "less-memory",
            "{left} needs less memory in training than {right}.",
            "harness.analysis.views.pairs:less_memory",
            margin=0.05,
            estimand="1 - peak of training of left over that of right, paired by seed, mean over tasks: the "
            "bytes of torch's allocator on a GPU, and elsewhere of the storages that live at once",
            direction="above the margin",
            scale="share of right's peak",
            any_rate="a step holds the same sizes at every rate",
            why="five percent: a smaller difference changes nobody's choice of a device",
            options={"left": None, "right": None},
        ),
        _claim(
            "saves-against",
            "{left} saves {share:.1%} of the training memory of {right} at batch {batch}.",
            "harness.analysis.views.savings:against",
            margin=0.05,
            estimand="1 - peak of left / peak of right, at the batch of the printed number",
            direction="within the margin of the printed share",
            scale="share of right's peak, 0 to 1",
            neutral="share",
            any_rate="a forecast of sizes, which has no rate",
            why="printed as whole percent and measured with other software: only five points or more count as "
            "another number",
            options={"left": None, "right": None, "share": 0.0, "batch": 1},
        ),
        _claim(
            "larger-gap",
            "{left} has a larger generalisation gap than {right}.",
            "harness.analysis.generalisation.gap:larger",
            margin=0.01,
            estimand="score on training rows minus score on test rows of the same cell; left's minus right's, paired "
            "by seed, mean over tasks",
            direction="above the margin",
            scale="score, -2 to 2",
            why="one point: a smaller difference would change nobody's choice of a method",
            options={"left": None, "right": None},
        ),
        _claim(
            "more-samples-help",
            "More training rows help.",
            "harness.analysis.views.samples:more_help",
            margin=0.01,
            estimand="score with the most training rows minus that with the fewest, paired by seed, for each method",
            direction="above the margin",
            scale="score, 0 to 1",
            why="one point: a smaller difference would change nobody's choice of a method",
            ours=True,
            options={"methods": None},
        ),
        _claim(
            "sign-of-correlation",
            "{method}: the changes of weights in magnitude and in direction correlate {sign}ly over {over}.",
            "harness.analysis.views.decomposition:test",
            margin=0.1,
            estimand="correlation of dM and dD over the points (layer, step) of one cell, by Fisher's z, mean over "
            "tasks; over 'layers within a step', each step is centred on its mean first",
            direction="on the side of `sign`, beyond the margin, for each of `roles`",
            scale="correlation, -1 to 1",
            why="weaker correlations count as none (Cohen 1988, small effect)",
            options={
                "method": None,
                "sign": "positive",
                "roles": None,
                "over": "layers and steps",
                "label": None,
                "stated": None,
            },
        ),
        _claim(
            "more-intruders",
            "Weights tuned by {left} have more intruder dimensions than those tuned by {right}.",
            "harness.analysis.views.spectrum:more",
            margin=0.1,
            estimand="difference of the number of intruder dimensions per matrix at the threshold `epsilon`, paired by "
            "seed, mean over tasks",
            direction="above the margin, for each variant of left",
            scale="singular vectors among the first ten of a matrix",
            why="one more in ten matrices",
            options={"left": None, "right": None, "epsilon": 0.5},
        ),
        _claim(
            "saves-up-to",
            "Against full fine-tuning, up to {share:.0%} of the memory is saved at small batch.",
            "harness.analysis.views.savings:up_to",
            margin=0.05,
            estimand="1 - peak of a method / peak of the ceiling at the smallest batch, the largest over `methods`",
            direction="within the margin of the printed share",
            scale="share of the ceiling's peak, 0 to 1",
            neutral="share",
            any_rate="a forecast of sizes, which has no rate",
            why="printed as whole percent and measured with other software: only five points or more count as "
            "another number",
            options={"share": 0.75, "methods": None},
        ),
        _claim(
            "saves-at-least",
            "Against full fine-tuning, at least {share:.0%} of the memory is saved at large batch.",
            "harness.analysis.views.savings:at_least",
            margin=0.05,
            estimand="1 - peak of a method / peak of the ceiling, the least over `methods` from `from_batch` on",
            direction="at least the printed share minus the margin",
            scale="share of the ceiling's peak, 0 to 1",
            neutral="share",
            any_rate="a forecast of sizes, which has no rate",
            why="printed as whole percent and measured with other software: only five points or more count as "
            "another number",
            options={"share": 1 / 3, "from_batch": 32, "methods": None},
        ),
        *costs.CLAIMS,
        *averaged_weights.CLAIMS,
        *tuned_rates.CLAIMS,
        *pretraining_kept.CLAIMS,
        *losses_at_rates.CLAIMS,
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all claims."""
    return tuple(CLAIMS)


def find(name: str) -> Claim:
    """Return a claim by name. The caller has checked the name."""
    return CLAIMS[name]
