"""The notes under a table of any cells."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import formatting
from harness.analysis.output import notes, rate_marks
from harness.analysis.study import axes, selection, statistics
from harness.analysis.study.measures import Measure

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Remarks:
    """What the entries of one table need a note for.

    sentences: why there are entries without a number, each once. arrows, chosen, untuned: whether these marks occur.
    """

    sentences: dict[str, None] = field(default_factory=dict)
    arrows: bool = False
    chosen: bool = False
    untuned: bool = False


def lines(
    rows: "pd.DataFrame", measure: Measure, by: tuple[str, str], remarks: Remarks, has_rates: bool
) -> Iterator[str]:
    """Yield the notes of one table. rows: of its scores. has_rates: whether it has a column of learning rates."""
    yield from dict.fromkeys(line for label in rows.label.unique() for line in label.splitlines())
    yield _numbers(rows, measure, by)
    yield from _metrics(rows, measure)
    yield from _folders(rows)
    yield from remarks.sentences
    yield from _beside(rows, measure)
    if measure.score and not has_rates and axes.RATE not in by:
        yield from _rates(rows)
    if remarks.chosen:
        yield "*: the learning rate that validation chooses; at a mean, on how many tasks"
    if remarks.arrows:
        yield rate_marks.AT_EDGE
    if remarks.untuned:
        last = by[0] == axes.METHOD and not rows.untuned.all()
        yield rate_marks.ALONE + (", so these rows stand last" if last else "")
    yield from dict.fromkeys(line for choosing in rows.choosing.unique() for line in choosing.splitlines())


def _numbers(rows: "pd.DataFrame", measure: Measure, by: tuple[str, str]) -> str:
    """Return what the numbers are, over how many seeds they are means, and what the ± is."""
    counts = rows.groupby(["row", "column", "task", "set"]).seed.nunique()
    low, high = int(counts.min()), int(counts.max())
    some = f"{low}" if low == high else f"{low} to {high}"
    what = f"{measure.role} scores" if measure.score else measure.title
    unit = f" in {measure.unit}" if measure.unit else ""
    if "seed" in by:
        return f"{what}{unit}, one seed in each row or column"
    return f"{what}{unit}, mean over {some} seed{'s' * (high > 1)}{_spread(rows, measure) if high > 1 else ''}"


def _spread(rows: "pd.DataFrame", measure: Measure) -> str:
    if not measure.score:
        return f" ± half of the {statistics.LEVEL:.0%} interval over seeds (Student's t on their means)"
    return notes.interval(selection.panel(rows.assign(arm=rows.row), measure.role, (), scores=True), measure.role)


def _metrics(rows: "pd.DataFrame", measure: Measure) -> Iterator[str]:
    """Yield which metric scores each task."""
    if measure.score:
        named = rows.drop_duplicates(["task", "metric"])
        by_metric = {str(name): ", ".join(group.task) for name, group in named.groupby("metric", sort=False)}
        several = [f"{name} ({tasks})" for name, tasks in by_metric.items()]
        yield "metrics: " + "; ".join(several) if len(several) > 1 else f"metric: {next(iter(by_metric))}"


def _folders(rows: "pd.DataFrame") -> Iterator[str]:
    """Yield whose rows each version of a task has, where versions of one task have different folders."""
    cells = {str(label): cell["task"] for label, cell in zip(rows.task, rows.cell, strict=True)}
    for name in dict.fromkeys(task["name"] for task in cells.values()):
        folders = {label: task.get("data_dir") for label, task in cells.items() if task["name"] == name}
        if len(set(folders.values())) > 1:
            listed = (f"{folder or 'not recorded'} ({label})" for label, folder in folders.items())
            yield f"folders of {name}: {'; '.join(listed)}"


def _beside(rows: "pd.DataFrame", measure: Measure) -> Iterator[str]:
    """Yield a note where seconds were measured beside other cells."""
    beside = rows.cells_beside.dropna()
    timed = measure.title.startswith("time.") or measure.title.endswith("per_s")
    if timed and len(beside) and beside.max():
        most = int(beside.max())
        yield f"up to {formatting.count(most, 'other cell')} ran beside, so no claim rests on these times"


def _rates(rows: "pd.DataFrame") -> Iterator[str]:
    """Yield the learning rates of each arm, for a table without a column of them."""
    trained = rows[rows.trains].groupby("arm", sort=False)
    if spans := [f"{arm} {rate_marks.span(list(group.learning_rate))}" for arm, group in trained]:
        yield f"learning rates: {'; '.join(spans)}"
