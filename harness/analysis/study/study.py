"""The records of one exhibit on one model, from which tables, figures and claims are made."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.study import collapse, estimates, frame, open_rates, selection
from harness.analysis.study.more_seeds import looks
from harness.analysis.study.selection import Panel
from harness.experiments import published_rows
from harness.experiments.exhibits import Exhibit
from harness.store import archive

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study:
    """One exhibit's records on one model. Studies are compared within a model, so each model has its own.

    over_looks: the verdicts on its comparisons over several looks; None where one look was planned.
    joint: whether these are the records of all models, for claims that compare models (scaling/joint.py).
    """

    exhibit: Exhibit
    model: str
    scores: "pd.DataFrame"
    curves: "pd.DataFrame"
    failures: "pd.DataFrame"
    over_looks: "Mapping[looks.Place, looks.Judged] | None" = None
    joint: bool = False

    @property
    def role(self) -> str:
        """Return the role of the sets that are reported: test, or validation for a tuning exhibit."""
        return self.exhibit.sets

    @cached_property
    def rates(self) -> "pd.DataFrame":
        """Return the chosen rates."""
        return selection.rates(self.choosing_rows, failures=self._choosing(self.failures))

    @cached_property
    def choosing_rows(self) -> "pd.DataFrame":
        """Return the rows that choose the rates: those on the tuning seeds alone where an arm has any."""
        return self._choosing(self.scores)

    def _choosing(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of scores or failures that may choose a rate.

        A cell that is reported does not choose where others do, and it rules out no rate there by its failure.
        """
        chosen_there = self.scores[self.scores.seed.isin(self.tuning_seeds)].set_index(selection.PLACE).index
        others = ~rows.set_index(selection.PLACE).index.isin(chosen_there)
        return rows[rows.seed.isin(self.tuning_seeds) | others]

    @cached_property
    def chosen_on_reported(self) -> frozenset[tuple[str, str]]:
        """Return the (arm, task) whose learning rate was chosen among several on the seeds that are reported."""
        rows = self.choosing_rows[~self.choosing_rows.seed.isin(self.tuning_seeds)]
        several = rows.groupby(["arm", "task"]).learning_rate.nunique() > 1
        return frozenset((str(arm), str(task)) for arm, task in several[several].index)

    @cached_property
    def tuning_seeds(self) -> frozenset[int]:
        """Return the seeds that choose rates and are reported in no table.

        Those that the exhibit declares, and those on which the cells' own records say that a search tried rates, do so
        where several rates were tried on them and other seeds are there: else they are seeds as any.
        """
        declared = self.exhibit.declared_tuning | open_rates.searched_seeds(self.scores.cell)
        others = ~self.scores.seed.isin(declared)
        several = self.scores[self.scores.seed.isin(declared)].groupby(selection.PLACE).learning_rate.nunique() > 1
        return self.exhibit.tuning_seeds() | (declared if several.any() and others.any() else frozenset())

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that are reported, in the order in which looks take them."""
        return tuple(sorted({*self.scores.seed, *self.failures.seed} - self.tuning_seeds))

    def first(self, number: int) -> "Study":
        """Return the study as it was after so many seeds."""
        seeds = self.tuning_seeds.union(self.seeds[:number])
        parts = {name: getattr(self, name) for name in ("scores", "curves", "failures")}
        return replace(self, **{name: rows[rows.seed.isin(seeds)] for name, rows in parts.items()})

    @cached_property
    def open_rates(self) -> Mapping[tuple[str, str], str]:
        """Return (arm, task) -> why a better rate than its own may exist; empty where its rate is settled."""
        return open_rates.places(self)

    @cached_property
    def selected(self) -> "pd.DataFrame":
        """Return the rows at the chosen rates and checkpoints, by validation."""
        return selection.at_chosen(self.reported_rows[self.reported_rows.checkpoint == "best"], self.rates)

    @cached_property
    def collapsed(self) -> Mapping[tuple[str, str], int]:
        """Return (arm, column) -> how many of its selected scores are of models that collapsed."""
        rows = self.selected[self.selected.role == self.role]
        places = zip(map(str, rows.arm), map(str, selection.columns(rows)), strict=True)
        marks = collapse.of(rows)
        return Counter(place for place, collapsed in zip(places, marks, strict=True) if collapsed)

    @cached_property
    def reported_rows(self) -> "pd.DataFrame":
        """Return the rows without the seeds that only choose rates."""
        return self.scores[~self.scores.seed.isin(self.tuning_seeds)]

    @cached_property
    def selected_curves(self) -> "pd.DataFrame":
        """Return the validation curves at the chosen learning rates."""
        fresh = self.curves[~self.curves.seed.isin(self.tuning_seeds)]
        return selection.at_chosen(fresh[fresh.role == "validation"], self.rates)

    @cached_property
    def clean(self) -> Panel:
        """Return the scores of the clean selection as arrays."""
        return selection.panel(self.selected, self.role, self.exhibit.methods(), scores=True)

    @cached_property
    def unlearnt(self) -> tuple[str, ...]:
        """Return the tasks on which the ceiling is not above the floor by 3 standard errors, so that it is no
        yardstick.
        """
        if not self.ceiling:
            return ()
        floor, ceiling = estimates.floor_values(self.clean, self.floor), self.clean.of(self.ceiling)
        good = estimates.learnt(self.clean, floor, ceiling)
        known = [not row.all() for row in np.isnan(ceiling - floor)]
        return tuple(
            t for t, learnt, is_known in zip(self.clean.tasks, good, known, strict=True) if is_known and not learnt
        )

    @cached_property
    def judged(self) -> Panel:
        """Return `clean` without the tasks where the ceiling is at the floor; every claim about scores is tested
        on it.
        """
        return self.clean.at([index for index, task in enumerate(self.clean.tasks) if task not in self.unlearnt])

    def left_out(self) -> tuple[str, ...]:
        """Return the note on the tasks that a claim leaves out."""
        if not self.unlearnt:
            return ()
        why = f"'{self.ceiling}' is not above the floor by 3 standard errors, so scores are not normalised there"
        return (f"left out: {', '.join(self.unlearnt)} ({why})",)

    @cached_property
    def paper(self) -> Panel:
        """Return the optimistic selection; the same as `clean` where only validation may be seen."""
        if self.role != "test":
            return self.clean
        rows = selection.chosen(self.reported_rows, "paper", self.failures)
        return selection.panel(rows, self.role, self.exhibit.methods(), scores=True)

    def probed(self, probe: str, figure: str, bounds: tuple[float, float] = (0.0, 1.0)) -> Panel | None:
        """Return a probe's figure of each set in place of its score; None where no cell has any.

        bounds: the lowest and the highest possible value of the figure.
        """
        rows = self.selected[self.selected.role == self.role]
        figures = [
            _probed(probed, probe, where, figure) for probed, where in zip(rows.probes, rows["set"], strict=True)
        ]
        if all(value != value for value in figures):
            return None
        return selection.panel(rows.assign(score=figures), self.role, self.exhibit.methods(), bounds=bounds)

    @cached_property
    def goals(self) -> Mapping[str, float]:
        """Return task -> the ceiling's validation score at its last step, mean over seeds; empty without a ceiling.

        Without the tasks where the ceiling is at the floor: a share of it would lie below guessing.
        """
        curves = self.selected_curves[self.selected_curves.arm == self.ceiling]
        last = curves[curves.step == curves.groupby("key").step.transform("max")]
        means = last.groupby("task", sort=False).score.mean()
        left = {task.partition(":")[0] for task in self.unlearnt}
        return {str(task): float(score) for task, score in means.items() if task not in left}

    @cached_property
    def method_of(self) -> Mapping[str, str]:
        """Return arm -> the method that it is a variant of."""
        return dict(zip(self.scores.arm, self.scores.method, strict=True))

    def field(self, arm: str, name: str) -> Any:
        """Return a field of the arm's method, such as its rank; None where the method has none of that name."""
        return self.fields(arm).get(name)

    def fields(self, arm: str) -> Mapping[str, Any]:
        """Return the fields of the arm's method."""
        fields: Mapping[str, Any] = self._first[arm].fields
        return fields

    @cached_property
    def _first(self) -> "Mapping[str, pd.Series[Any]]":
        """Return arm -> the first of its rows, for what all of them share."""
        return {str(arm): rows.iloc[0] for arm, rows in self.scores.groupby("arm", sort=False)}

    def trained(self, arm: str) -> tuple[int, float] | None:
        """Return (trainable parameters, their share of the backbone's); None where the records lack them."""
        row = self._first[arm]
        # In a column that holds numbers pandas keeps a missing one as NaN, which is not None.
        known = [value is not None and not math.isnan(value) for value in (row.delta, row.backbone)]
        return (int(row.delta), float(row.delta / row.backbone)) if all(known) and row.backbone else None

    @cached_property
    def published(self) -> tuple[Mapping[str, str], ...]:
        """Return the published rows of the exhibit."""
        return published_rows.read(self.exhibit.published) if self.exhibit.published else ()

    def task_of(self, column: str) -> str:
        """Return the task of a column, which is called task:set where a task reports several sets."""
        return column if column in self._tasks else column.rpartition(":")[0]

    @cached_property
    def _tasks(self) -> frozenset[str]:
        return frozenset(self.scores.task)

    @cached_property
    def edges(self) -> Mapping[tuple[str, str], str]:
        """Return (task, arm) -> the edge of the grid at which its learning rate lies: "highest", "lowest" or ""."""
        own = self.rates.edge.xs(self.model, level="model") if len(self.rates) else self.rates.edge
        return {place: str(edge) for place, edge in zip(own.index, own, strict=True)}

    @property
    def choosing(self) -> tuple[str, ...]:
        """Return on which seeds the learning rates were chosen, where several were tried."""
        if (self.rates.tried < 2).all():
            return ()
        if seeds := ", ".join(map(str, sorted(self.tuning_seeds & set(self.scores.seed)))):
            return (f"learning rates are chosen on validation with seed {seeds}, which no number here includes",)
        return (
            "learning rates are chosen on the validation scores of the seeds that are reported, which is optimistic",
        )

    def trains(self, arm: str) -> bool:
        """Return whether an arm trains anything: otherwise its learning rate has no meaning."""
        row = self._first[arm]
        return self.trained(arm) is None or bool(row.delta + row["head"] > 0)

    def arm(self, method: str | None) -> str | None:
        """Return the only arm of a method; None where it has none, or several."""
        arms = [arm for arm in self.clean.arms if self.method_of[arm] == method]
        return arms[0] if len(arms) == 1 else None

    @property
    def floor(self) -> str | None:
        """Return the floor's arm; None where it has an untrained head, because guessing is then the floor."""
        arm = self.arm(self.exhibit.floor)
        rows = self.scores[(self.scores.arm == arm) & (self.scores.checkpoint == "last")]
        random_head = bool(((rows["head"] > 0) & (rows.step == 0)).any())
        return None if random_head else arm

    @property
    def ceiling(self) -> str | None:
        """Return the ceiling's arm."""
        return self.arm(self.exhibit.ceiling)

    @property
    def others(self) -> tuple[str, ...]:
        """Return the arms that are neither floor nor ceiling."""
        roles = (self.arm(self.exhibit.floor), self.ceiling)
        return tuple(arm for arm in self.clean.arms if arm not in roles)


def _probed(probed: Mapping[str, Any], probe: str, where: str, figure: str) -> float:
    result = probed.get(probe) or {}
    value = ((result.get("sets") or {}).get(where) or {}).get(figure)
    return float(value) if result.get("status") == "done" and isinstance(value, int | float) else math.nan


def studies(exhibit: Exhibit, runs: Sequence[archive.Run]) -> list[Study]:
    """Return one study per model, in the order of the exhibit's grids, whatever the order of the runs.

    Sets that the exhibit must not see are not read.
    """
    places = exhibit.places([run.record["cell"] for run in runs])
    runs = [runs[place] for place in sorted(range(len(runs)), key=places.__getitem__)]
    roles = (*frame.ROLES, frame.TRAIN) if exhibit.sets == "test" else (exhibit.sets,)
    named = frame.bases(runs)
    scores, curves = frame.scores(runs, roles, named=named), frame.curves(runs, roles, named)
    failures = frame.failures(runs, named)
    return [
        Study(
            exhibit,
            model,
            scores[scores.model == model],
            curves[curves.model == model],
            failures[failures.model == model],
        )
        for model in scores.model.unique()
    ]
