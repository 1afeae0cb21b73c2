"""What all seeds of a study share although chance chose it, so that intervals over seeds leave it out."""

import math
from collections.abc import Collection, Sequence

from harness.analysis.study.study import Study
from harness.experiments.verdict import Comparison

DRAWN = "_seed"
"""The end of the name of a method's field that decides random choices, such as `selection_seed`."""


def notes(study: Study, compared: Sequence[Comparison]) -> tuple[str, ...]:
    """Return a sentence for each thing that all seeds of these comparisons share."""
    words = {word for row in compared for side in (row.left, row.right) for word in side.split()}
    return (*_rows(study), *_orders(study), *_choices(study, words))


def _rows(study: Study) -> tuple[str, ...]:
    sizes = _train_sizes(study)
    if not sizes:
        return ()
    shown = " or ".join(f"{size:,}" for size in sizes)
    return (
        f"all seeds train on the same {shown} rows: intervals leave out that other training rows would give other "
        "scores",
    )


def _orders(study: Study) -> tuple[str, ...]:
    few = [size for size in _train_sizes(study) if size < 10 and math.factorial(size) < len(study.seeds)]
    return tuple(
        f"{size} training row{'s have' if size > 1 else ' has'} {math.factorial(size)} order{'s' if size > 1 else ''}, "
        f"fewer than the {len(study.seeds)} seeds: some seeds differ in the start of the method and in dropout alone"
        for size in few
    )


def _choices(study: Study, words: Collection[str]) -> tuple[str, ...]:
    drawn = {
        (method, name)
        for arm, method in study.method_of.items()
        for name in study.fields(arm)
        if name.endswith(DRAWN) and method in words
    }  # fmt: skip
    return tuple(
        f"all seeds share the random choices of {method}, by its {name}: intervals leave out that other choices would "
        "give other scores"
        for method, name in sorted(drawn)
    )


def _train_sizes(study: Study) -> list[int]:
    return sorted({int(size) for size in study.scores.train_size.dropna()})
