"""The records of all models as one study, for claims that compare models.

An arm is then a method on one model, such as "lora on micro-t5-nano". Differences are paired by seed and task as ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from harness.analysis.study.study import Study

MODEL, ON = "all models", " on "


@dataclass(frozen=True)
class Models:
    """One study of all models. sizes: model -> parameters of its backbone, the smallest first. left_out: why."""

    study: Study
    sizes: dict[str, float]
    left_out: tuple[str, ...] = ()


def named(arm: str, model: str) -> str:
    """Return the name of an arm on one model."""
    return f"{arm}{ON}{model}"


def plain(arm: str) -> str:
    """Return the name of a joint study's arm without its model."""
    return arm.rpartition(ON)[0]


def of(studies: Sequence[Study]) -> Study:
    """Return all models' records as one study. Raise ValueError without any study."""
    if not studies:
        raise ValueError("there is no study to join")
    return replace(
        studies[0],
        model=MODEL,
        scores=pd.concat([_renamed(study.scores) for study in studies], ignore_index=True),
        curves=pd.concat([_renamed(study.curves) for study in studies], ignore_index=True),
        failures=pd.concat([_renamed(study.failures) for study in studies], ignore_index=True),
        over_looks=None,
        joint=True,
    )


def _renamed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the model in the arm's name, and the former model beside it."""
    arms = [named(arm, model) for arm, model in zip(rows.arm, rows.model, strict=True)]
    return rows.assign(arm=pd.Series(arms, index=rows.index, dtype=object), size_of=rows.model, model=MODEL)


def read(study: Study) -> Models:
    """Return a joint study with the sizes of its models, without the tasks that the largest model's ceiling fails."""
    sizes = study.scores.groupby("size_of").backbone.first().astype(float).sort_values()
    ordered = {str(model): float(size) for model, size in sizes.items()}
    unlearnt = _alone(study, list(ordered)[-1]).unlearnt if ordered else ()
    if not unlearnt:
        return Models(study, ordered)
    tasks = {task.partition(":")[0] for task in unlearnt}
    remaining = {name: rows[~rows.task.isin(tasks)] for name, rows in _parts(study).items()}
    why = "on the largest model the ceiling is not above the floor by 3 standard errors"
    return Models(replace(study, **remaining), ordered, (f"left out: {', '.join(unlearnt)} ({why})",))


def _alone(study: Study, model: str) -> Study:
    """Return the study of one model again."""
    rows = {name: part[part.size_of == model] for name, part in _parts(study).items()}
    renamed = {name: part.assign(arm=[plain(arm) for arm in part.arm]) for name, part in rows.items()}
    return replace(study, **renamed, joint=False)


def _parts(study: Study) -> dict[str, Any]:
    return {"scores": study.scores, "curves": study.curves, "failures": study.failures}
