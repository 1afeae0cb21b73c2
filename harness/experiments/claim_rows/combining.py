"""Claims about methods and tasks together: combinations, sequences, transfer, one model for several tasks."""

from harness.experiments.claim_rows.claim import declared

ONE_POINT = "one point: a smaller difference would change nobody's choice of a method"
_MODULE = "harness.analysis.combining"

ROWS = (
    *(
        declared(
            name,
            sentence,
            f"{_MODULE}.combination_claims:{test}",
            margin=0.01,
            why=ONE_POINT,
            estimand=estimand,
            direction=direction,
            scale="score, 0 to 1",
            options={"part": None} if "{part}" in sentence else {},
        )
        for name, test, sentence, estimand, direction in (
            (
                "adding-helps",
                "adding_helps",
                "Adding {part} to other methods helps.",
                "score of a combination with `part` less that without it, mean over the combinations of the others, "
                "paired by seed, mean over tasks and templates; once with all training rows and once with few",
                "above the margin in both",
            ),
            (
                "adding-hurts-somewhere",
                "adding_hurts_somewhere",
                "Adding {part} hurts some other method or combination.",
                "score without `part` less that with it, for each combination of the others, with all training rows "
                "and with few, paired by seed, mean over tasks and templates",
                "above the margin in one of them (Holm's adjustment over all)",
            ),
            (
                "combination-beats-best-single",
                "some_beats_the_best_part",
                "Some combination scores above the best of its methods alone.",
                "score of a combination less that of the one of its methods that it is least surely above, paired by "
                "seed, mean over tasks and templates, with all training rows and with few",
                "above the margin for one combination (Holm's adjustment over all)",
            ),
            (
                "best-combination-differs",
                "best_differs",
                "Another combination is best with few training rows than with all.",
                "on the test sets, score of the combination that validation chooses in one place less that of the one "
                "that it chooses in the other, paired by seed, mean over tasks and templates, in both places",
                "above the margin in both places; contradicted where one combination is above all others in both",
            ),
        )
    ),
    declared(
        "no-order-is-best",
        "No order of the methods in turn is best everywhere.",
        f"{_MODULE}.orders:no_order_is_best",
        margin=0.01,
        why=ONE_POINT,
        estimand="for each order, the score of another order less its own on one task, paired by seed: the surest of "
        "all pairs and tasks",
        direction="above the margin for each order (Holm's adjustment over all); contradicted where one order is at "
        "most the margin below every other on every task",
        scale="score, 0 to 1",
    ),
    *(
        declared(
            name,
            sentence,
            f"{_MODULE}.transfer_claims:{test}",
            margin=0.05,
            why="five percent of what the target's own delta reaches: less changes nobody's choice of a start",
            estimand=estimand,
            direction="above the margin for each method",
            scale="ratio to the target's own delta",
            options=options,
        )
        for name, test, sentence, estimand, options in (
            (
                "transfers-within-category",
                "within",
                "Deltas transfer better within a category of tasks than across.",
                "ratio of a delta's score on another task, without training, to that of the task's own delta: on each "
                "task, the mean over deltas of its category less the mean over deltas of others, then the mean over "
                "tasks, by seed",
                {},
            ),
            (
                "transfers-to-category",
                "to_category",
                "Deltas of {sources} transfer to {target}.",
                "the same ratio, mean over pairs from `sources` to `target`, less the ratio that guessing has, by seed",
                {"sources": None, "target": None},
            ),
        )
    ),
    *(
        declared(
            name,
            sentence,
            f"{_MODULE}.multitask:{test}",
            margin=0.01,
            why=ONE_POINT,
            estimand=f"score of left, a delta for each task, minus that of {other}, paired by seed, mean over tasks",
            direction="not more than the margin below",
            scale="score, 0 to 1",
            ours=True,
            options={"left": None, "right": None},
        )
        for name, test, sentence, other in (
            (
                "delta-per-task-as-separate",
                "as_separate",
                "One backbone with a delta of {left} for each task scores at least as high as one model of {right} for "
                "each.",
                "right, a model for each task",
            ),
            (
                "delta-per-task-as-joint",
                "as_joint",
                "One backbone with a delta of {left} for each task scores at least as high as one model of {right} "
                "that was tuned on all tasks together.",
                "right, one model for all tasks",
            ),
        )
    ),
)
