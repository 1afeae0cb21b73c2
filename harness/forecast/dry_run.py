"""What the cells of a plan will take, in text, before any of them runs. Torch is not imported.

Time comes from the finished cells that are most like them (duration.py), first of the store, then of our own runs. For
grids that want a GPU it comes from the cells alone (gpu_hours.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness import formatting
from harness.config.schema import Cell
from harness.config.step_load import gib
from harness.execution import launch, progress, submission, sweep
from harness.execution.expected_times import Estimate
from harness.execution.sweep_plan import SweepPlan
from harness.experiments.exhibits import HERE, Exhibit
from harness.experiments.grids.blocks import Block
from harness.experiments.rates import rate_search
from harness.experiments.rates.planned import Planned
from harness.forecast import duration, gpu_hours
from harness.forecast.disk import Disk
from harness.forecast.duration import AtSpeedOf, Estimator
from harness.probes import registry as probes
from harness.store import identity
from harness.store.store import FINAL, Store


class Sources:
    """Estimators from the nearest cells to the farthest: of the store, of the exhibit's own run, of all our runs.

    here: our runs count as well, because the cells run on the processor, as those did. exhibit: whose run it is.
    """

    def __init__(self, store: Store, here: bool = True, exhibit: str = "") -> None:
        self.own = duration.from_store(store)
        self._here, self._exhibit = here, exhibit

    @cached_property
    def reference(self) -> Estimator:
        """Return the estimates of the exhibit's own run."""
        return self._at_speed(duration.from_reference(self._exhibit)) if self._here and self._exhibit else Estimator([])

    @cached_property
    def references(self) -> Estimator:
        """Return the estimates of all our runs."""
        return self._at_speed(duration.from_references()) if self._here else Estimator([])

    def _at_speed(self, recorded: Estimator) -> Estimator:
        """Return the estimates of recorded runs, at the speed of the store's machine where a cell has finished here."""
        return AtSpeedOf(recorded, self.own) if self.own and recorded else recorded

    def find(self, model: str) -> Estimator | None:
        """Return the first estimator that knows a model, else the store's, else that of all our runs; None without."""
        for estimator in (lambda: self.own, lambda: self.reference, lambda: self.references):
            if estimator().knows(model):
                return estimator()
        return self.own or self.references or None


@dataclass(frozen=True)
class Cost:
    """What the cells of a plan will take.

    - seconds, bytes: key -> the cell's own; None where it is unknown. rough: keys whose seconds come from cells of
      other models.
    - at_once: the number of cells at once. in_parallel: how many of them have cores of their own.
    - of: whose cells the seconds come from, if not the store's.
    - past: (right, of) of the store's latest cells (see `Estimator.past_error`). memory: bytes of the largest process.
    - keep: a text on the share of the weights in the bytes.
    - start: seconds before the first cells. between: those from the end of a cell to the next one in its place.
    """

    seconds: Mapping[str, float | None]
    bytes: Mapping[str, int | None]
    rough: frozenset[str]
    at_once: int
    in_parallel: int
    of: tuple[str, ...] = ()
    past: tuple[int, int] = (0, 0)
    memory: int | None = None
    keep: str = ""
    start: float = 0.0
    between: float = 0.0

    @property
    def wall(self) -> float | None:
        """Return the seconds until the last cell has ended: those of the longest cell, or of all cells over the number
        in parallel, whichever is more, with those in which no cell runs. None where a cell is unknown, or none is to
        run.
        """
        known = [value for value in self.seconds.values() if value is not None]
        if not known or len(known) < len(self.seconds):
            return None
        each = (sum(known) + self.between * max(0, len(known) - self.at_once)) / self.in_parallel
        return self.start + max(each, max(known))

    @property
    def size(self) -> int | None:
        """Return the bytes of all cells together; None where a cell is unknown."""
        known = [value for value in self.bytes.values() if value is not None]
        return sum(known) if len(known) == len(self.bytes) else None

    @property
    def why_null(self) -> str | None:
        """Return why the seconds are unknown."""
        if not self.seconds or self.wall is not None:
            return None
        return "no cell has finished on such a device, so no rate is known"


def cost(store: Store, plan: SweepPlan, exhibit: str = "") -> Cost:
    """Return what the cells of a plan will take. exhibit: whose committed run may stand for cells of the store."""
    todo, at_once = plan.todo, max(1, min(plan.handing.at_once, len(plan.todo)))
    sources = Sources(store, not plan.handing.gpus, exhibit)
    estimators = {key: sources.find(cell.model.name) for key, cell in todo.items()}
    beside = 0 if plan.handing.elsewhere else at_once - 1
    each = {key: estimator.cell(todo[key], beside) if estimator else None for key, estimator in estimators.items()}
    memories = [estimator.memory(todo[key]) for key, estimator in estimators.items() if estimator]
    used = list({id(estimator): estimator for estimator in estimators.values() if estimator}.values())
    finished = [(key, summary) for key, summary in store.summaries() if summary and summary["status"] == "done"]
    disk, keeps = Disk(store, finished), plan.handing.runtime.keep == "delta"
    sizes = {key: disk.size(cell) for key, cell in todo.items()}
    return Cost(
        {key: seconds.total if seconds else None for key, seconds in each.items()},
        {key: _together(size, keeps) for key, size in sizes.items()},
        frozenset(key for key, seconds in each.items() if seconds and not seconds.alike),
        at_once,
        min(at_once, launch.slots(plan.handing.runtime)) if _on_cores(plan) else at_once,
        tuple(estimator.whose for estimator in used if estimator.whose),
        sources.own.past_error() if sources.own else (0, 0),
        max(filter(None, memories), default=None),
        _kept(sizes.values(), keeps, any(map(probes.needs_weights, plan.probes))),
        0.0 if plan.handing.elsewhere else sources.own.start_s,
        sources.own.between_s,
    )


def seconds(store: Store) -> Callable[[Sequence[Cell], launch.Plan], dict[str, Estimate]]:
    """Return a function (cells, plan) -> key -> estimate, for a sweep's own time; unknown cells are left out."""

    def known(many: Sequence[Cell], plan: launch.Plan) -> dict[str, Estimate]:
        sources = Sources(store, not plan.gpus)
        beside = 0 if plan.elsewhere else plan.at_once - 1
        estimates = {}
        for cell in many:
            source = sources.find(cell.model.name)
            spent = source.cell(cell, beside) if source else None
            if source and spent:
                estimates[identity.key(cell)] = Estimate(spent.total, bool(source.whose) or not spent.alike)
        return estimates

    return known


def _together(size: tuple[int | None, int] | None, keeps: bool) -> int | None:
    """Return the bytes of a cell's files; None where they, or the weights that it keeps, are unknown."""
    if size is None or (keeps and size[0] is None):
        return None
    return size[1] + (size[0] or 0) * keeps


def _kept(sizes: Iterable[tuple[int | None, int] | None], keeps: bool, needed: bool = False) -> str:
    """Return what keep=delta costs, or what it would cost; "" where a cell is unknown or nothing trains.

    needed: whether a probe reads the weights, so that they cannot be left out.
    """
    weights = [None if size is None else size[0] for size in sizes]
    known = [size for size in weights if size is not None]
    if len(known) < len(weights) or not sum(known):
        return ""
    stored = f"{sum(known) / 1e6:.1f} MB of"
    if not keeps:
        return f" (keep=delta adds {stored} weights)"
    return f" ({stored} it weights{'' if needed else '; keep=none leaves them out'})"


def _on_cores(plan: SweepPlan) -> bool:
    """Return whether the cells share this machine's cores."""
    return not plan.handing.elsewhere and not plan.handing.gpus


def lines(store: Store, plan: SweepPlan, costs: Cost, planned: Planned) -> Iterator[str]:
    """Yield the sentences on a plan: statuses, what runs and how long it takes, what is skipped, and the script.

    planned: the grid, some of whose cells may wait for a learning rate that these cells choose.
    """
    waiting = 0 if planned.searching else planned.waiting
    yield f"{sweep.summary(store, plan.cells)}; {_took(plan, costs, waiting)}"
    if planned.searching:
        yield _search(store, plan, costs, planned)
    if plan.again:
        again = formatting.count(plan.again, "finished cell")
        yield f"{again} run again to save trained weights, which a probe or a cell that builds on them needs"
    if waiting:
        yield f"{formatting.count(waiting, 'more cell')} when these have chosen their learning rate"
    if costs.rough:
        yield "no cell of one of these models has finished: its time is that of other models, scaled by the operations"
    if costs.past[1] and plan.todo:
        yield (
            f"past estimates: right to within a factor of {duration.CLOSE:g} for {costs.past[0]} of the last "
            f"{costs.past[1]} cells of this store"
        )
    yield from plan.skipped()
    if script := submission.script(plan.handing, list(plan.todo), store.path):
        yield f"launcher={plan.handing.name} would submit:\n{script}"


def later(store: Store, planned: Planned) -> tuple[int, int]:
    """Return how many of the cells that run after the searches, at a rate that is known, are left, and are done."""
    left = sum(store.status(identity.key(cell)) not in FINAL for cell in planned.later)
    return left, len(planned.later) - left


def _search(store: Store, plan: SweepPlan, costs: Cost, planned: Planned) -> str:
    """Return how many cells follow the trials that run now, and for how long."""
    likely, most = planned.more(rate_search.LIKELY), planned.more(rate_search.MOST)
    arms = formatting.count(planned.searching, "arm")
    text = f"these are trials of learning rates for {arms}: likely {likely} more follow, at most {most}, and then "
    text += f"{formatting.count(planned.waiting, 'cell')} at the chosen rates"
    left, done = later(store, planned)
    text += f" and {formatting.count(left, 'cell')} at a rate that is known" if left else ""
    text += f" ({done} of this grid are done)" if done else ""
    if costs.wall is None or not plan.todo:
        return text
    each = costs.wall / len(plan.todo)
    whole = [progress.clock(costs.wall + each * (more + planned.waiting + left)) for more in (likely, most)]
    return f"{text}; all in all about {whole[0]}, at most about {whole[1]}"


def _took(plan: SweepPlan, costs: Cost, waiting: int) -> str:
    """Return what runs, in how many places at once, and for how long."""
    if not plan.todo and not waiting:
        return "0 to run, nothing is left to do"
    by = f" with launcher={plan.handing.name}" if plan.handing.name else ""
    text = f"{len(plan.todo)} to run, {costs.at_once} at once{by}"
    wall = costs.wall
    if wall is None:
        return f"{text}; how long is unknown until one of them has finished" if plan.todo else text
    text += f"; about {progress.clock(wall)}"
    text += f" and {progress.clock(waiting * wall / len(plan.todo))} for those {waiting}" if waiting else ""
    text += f" and {costs.size / 1e6:.1f} MB{costs.keep}" if costs.size is not None else ""
    text += f"; {gib(costs.memory)} for each process, if they are like those before" if costs.memory else ""
    whose = dict.fromkeys(source.removesuffix(f", {duration.ROUGH}") for source in costs.of)
    rough = [duration.ROUGH] if any(source.endswith(duration.ROUGH) for source in costs.of) else []
    return ", ".join((text, *whose, *rough))


def exhibit(
    of: Exhibit, scale: str, blocks: Sequence[Block], store: Store, plan: SweepPlan, planned: Planned, folder: Path
) -> str:
    """Return the sentences on an exhibit's plan. For a grid for GPUs of whose models no cell has finished, the forecast
    of hours and memory is added.
    """
    costs = cost(store, plan, of.cells_of)
    text = list(lines(store, plan, costs, planned))
    unknown = plan.todo and (costs.wall is None or costs.rough)
    if unknown and scale not in HERE:
        on = gpu_hours.device()
        text.append(gpu_hours.text(gpu_hours.lines(gpu_hours.cells_of(blocks), on), on))
    return "\n".join((*text, f"records: {store.path}", f"results: {folder}"))


def without_rows(name: str, many: Sequence[Cell]) -> str:
    """Return the forecast where the rows of a task are not here, so that no cell has its key yet."""
    on = gpu_hours.device()
    table = gpu_hours.lines(many, on)
    return (
        f"rows are absent, so no cell can be looked up in the store; the forecast of all cells of {name}:\n"
        f"{gpu_hours.text(table, on)}"
    )
