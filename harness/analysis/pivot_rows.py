"""The scores that a table of any cells is made from, with what is known of their learning rates."""

from typing import TYPE_CHECKING

from harness.analysis.output import notes, rate_marks
from harness.analysis.study import axes
from harness.analysis.study.measures import Measure
from harness.analysis.study.study import Study

if TYPE_CHECKING:
    import pandas as pd


def of(study: Study, measure: Measure, by: tuple[str, str]) -> "pd.DataFrame":
    """Return the study's rows of the measure with the marks of their rates: at the chosen rate, or at every one."""
    rows = study.selected
    if axes.RATE in by:
        rows = study.choosing_rows if measure.name == "validation" else study.reported_rows
        rows = rows[rows.checkpoint == "best"]
    rows = measure.of(rows)
    rates = study.rates
    places = list(zip(rows.model, rows.task, rows.arm, strict=True))
    untuned = {arm: rate_marks.untuned(study, arm) for arm in rows.arm.unique()}
    choosing, label = "\n".join(study.choosing), "\n".join(notes.label(study))
    return rows.assign(
        edge=[rate_marks.edge(study, arm, task) for _, task, arm in places],
        tried=[int(rates.tried.get(place, 1)) for place in places],
        is_chosen=[
            rate == rates.learning_rate.get(place) for rate, place in zip(rows.learning_rate, places, strict=True)
        ],
        trains=[study.trains(arm) for _, _, arm in places],
        untuned=[untuned[arm] for _, _, arm in places],
        choosing=choosing,
        label=label,
    )
