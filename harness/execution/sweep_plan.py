"""What a sweep does, decided once: `plan` and `--dry-run` print it, `sweep` and `reproduce` run it. Torch is not
imported.

A plan writes nothing. What a person has to correct is a UsageError here already, so a plan refuses what a sweep
refuses.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from harness.config import launchers
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError, together
from harness.execution import attempts, launch
from harness.execution.expected_times import Estimate
from harness.execution.trackers import follower
from harness.execution.worker import ENTRY
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids import parent_order
from harness.experiments.grids.grid import by_seed
from harness.experiments.grids.holes import Hole
from harness.models import answer_tokens
from harness.probes import registry as probes
from harness.processes import forkserver, remembered_answers
from harness.store import identity
from harness.store.store import FINAL, STATUSES, Store, lacks_weights, obstacle
from harness.training.objectives.registry import has_head
from tasks import registry as tasks

PREFLIGHT = "harness.execution.preflight:preflight"
RERUN = (*STATUSES, "stale")
AUTO = "auto"
EVERYWHERE = ("auto", "cpu")
"""Devices that need no check."""


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep runs its cells.

    - runtime: where and how cells run. launcher: None chooses by the number of cells, devices and cores.
    - jobs: cells at once, unless the launcher's own field sets it.
    - rerun: statuses (or "stale") that are run once more.
    - unprobed: seeds whose cells get no probes, besides those of trials of learning rates; None where every cell gets
      them.
    - skip_impossible: run the other cells where some cannot run.
    - share: returns the share of a GPU that each of these cells needs, for launcher.gpus=auto.
    - name: of the grid, under which `status` reports it. role: of the score in the lines of progress.
    - deadline_s: seconds after which running cells stop at a checkpoint; no cell begins that would end later.
    - seconds: returns key -> estimated seconds, for the deadline and the lines of progress; unknown ones are left out.
      The cells that end correct them.
    - entry, check: the "module:function" that runs a cell in its own process, and the one that checks cells before.
    """

    runtime: Runtime
    launcher: Launcher | None = None
    jobs: int | None = None
    rerun: Sequence[str] = ()
    unprobed: Collection[int] | None = ()
    skip_impossible: bool = False
    share: Callable[[Sequence[Cell]], float | None] | None = None
    name: str = ""
    role: str = "test"
    deadline_s: float | None = None
    seconds: Callable[[Sequence[Cell], launch.Plan], Mapping[str, Estimate]] | None = None
    entry: str = ENTRY
    check: str = PREFLIGHT

    def sized(self, todo: Sequence[Cell]) -> Launcher | None:
        """Return the launcher, with a number for launcher.gpus=auto; without one where there is no GPU."""
        launcher = self.launcher
        if launcher is None or launcher.fields.get("gpus") != AUTO:
            return launcher
        share = self.share(todo) if self.share and todo else None
        return Launcher(launcher.name, {**launcher.fields, "gpus": None if share is None else f"{share:.4f}"})


@dataclass(frozen=True)
class SweepPlan:
    """The decision on every cell of a grid.

    - cells: those that can run, seed by seed. holes: the combinations that cannot, with their reasons.
    - todo: key -> cell of those that run now. seen: key -> its latest attempt that ended by itself.
    - stale: keys of results that come from other code. again: how many finished cells run again for their
      weights, which a probe or a cell that builds on them needs.
    - handing: the launcher, its fields and the number of jobs at once.
    - probes: the measurements of finished cells.
    """

    cells: tuple[Cell, ...]
    holes: tuple[Hole, ...]
    todo: Mapping[str, Cell]
    seen: Mapping[str, int]
    stale: frozenset[str]
    again: int
    handing: launch.Plan
    probes: tuple[str, ...]

    def skipped(self) -> Iterator[str]:
        """Yield a heading and one line for each reason why cells are skipped; nothing where none is."""
        yield from holes_of_grid.heading(self.holes, "skipped")


def decide(store: Store, many: Sequence[Cell], options: SweepOptions, holes: Sequence[Hole] = ()) -> SweepPlan:
    """Return what a sweep of these cells does. holes: combinations that are known to be impossible.

    Raises UsageError for a value that a person has to correct, and for cells that cannot run, all of them at once.
    """
    runtime, wanted = options.runtime, probes.parse(options.runtime.probe)
    unprobed = options.unprobed or ()
    measured = [identity.key(cell) for cell in many if cell.seed not in unprobed]
    probes.ready(store, measured or map(identity.key, many), wanted)
    if runtime.keep != "delta" and (needing := [name for name in wanted if probes.needs_weights(name)]):
        raise UsageError(
            f"keep={runtime.keep}: probe={','.join(needing)} reads the trained weights of cells. Leave keep=delta."
        )
    follower.check(runtime.tracker)
    if options.launcher is not None:
        launchers.check(options.launcher.name)
    again = wanted if runtime.keep == "delta" else ()
    todo = to_run(store, by_seed(many), options.rerun, again, unprobed)
    seen = {key: attempts.tried(store, key) for key in todo}
    # Cells that another process ended in the meantime are neither seen nor ours.
    todo = to_run(store, list(todo.values()), options.rerun, again, unprobed)
    parallel = any(cell.recipe.parallel != "none" for cell in todo.values())
    handing = launch.plan(options.sized(list(todo.values())), options.jobs, runtime, max(1, len(todo)), parallel)
    impossible = _impossible(store, todo, runtime.keep, "auto" if handing.elsewhere else runtime.device, options.check)
    bad = {key for hole in impossible for key in hole.keys}
    cells = tuple(cell for cell in many if identity.key(cell) not in bad)
    holes_of_grid.check([*holes, *impossible], len(cells), options.skip_impossible)
    todo = {key: cell for key, cell in todo.items() if key not in bad}
    stale = frozenset(key for key in map(identity.key, cells) if is_stale(store, key))
    finished = sum(store.status(key) in FINAL and not _asked_for(store, key, options.rerun) for key in todo)
    return SweepPlan(cells, (*holes, *impossible), todo, seen, stale, finished, handing, wanted)


def notes(many: Collection[Cell], generated: bool = False) -> list[str]:
    """Return a line for each fact about these cells that a reader of their scores should know.

    generated: also of rows that are generated. A sweep has not made them by then, and that takes up to a second a task.
    """
    return [*_row_notes(many, generated), *_guesses(many), *_text_notes(many)]


def _row_notes(many: Iterable[Cell], generated: bool) -> list[str]:
    """Return a line for each fact about the rows of a task. They have been read for its digest, and are kept."""
    lines: list[str] = []
    for config in dict.fromkeys(cell.task for cell in many):
        with suppress(UsageError):
            if generated or not tasks.row(config).generated:
                lines += [f"task {config.name}: {line}" for line in tasks.notes(config)]
    return list(dict.fromkeys(lines))


def _guesses(many: Iterable[Cell]) -> list[str]:
    """Return a line for each model whose head never trains and may be drawn. A cell's parents bring a trained head."""
    bare = [cell for cell in many if has_head(cell.objective) and not cell.recipe.steps and not cell.parents]
    return [
        f"model {name}: recipe.steps=0 does not train the head of objective {objective}; unless the model's files hold "
        "one for as many labels, it is drawn, and the score is that of a guess"
        for name, objective in dict.fromkeys((cell.model.name, cell.objective) for cell in bare)
    ]


def _text_notes(many: Iterable[Cell]) -> list[str]:
    """Return a line for each fact about a task's text and a model's tokenizer.

    A cell that is refused for its text is among the impossible ones already, or it is done.
    """
    lines: list[str] = []
    for cell in {repr((cell.model, cell.objective, cell.task)): cell for cell in many}.values():
        with suppress(UsageError):
            lines += answer_tokens.check_plan([cell])
    return list(dict.fromkeys(lines))


def to_run(
    store: Store, many: Sequence[Cell], rerun: Sequence[str], probed: Sequence[str], unprobed: Collection[int] = ()
) -> dict[str, Cell]:
    """Return the cells without a result, those with a status to rerun, those that need an attempt for a probe, and the
    parents of all these whose weights are not stored.
    """
    for word in rerun:
        if word not in RERUN:
            raise UsageError(f"rerun={word}: it must be one of {', '.join(RERUN)}.")
    known, todo = identity.by_key(many), dict[str, Cell]()
    for key, cell in known.items():
        status = store.status(key)
        again = _asked_for(store, key, rerun)
        needed = probed if cell.seed not in unprobed else ()
        if status not in FINAL or again or (needed and probes.lacks_snapshots(store, key, cell, needed)):
            todo[key] = cell
    return _with_lacking_parents(store, known, todo)


def _with_lacking_parents(store: Store, known: Mapping[str, Cell], todo: Mapping[str, Cell]) -> dict[str, Cell]:
    """Return the cells to run and those finished parents, of the known cells, whose weights are not stored."""
    chosen, left = set(todo), list(todo.values())
    while left:
        for _, parent in left.pop().parents:
            if parent in known and parent not in chosen and lacks_weights(store, parent):
                chosen.add(parent)
                left.append(known[parent])
    return {key: cell for key, cell in known.items() if key in chosen}


def _asked_for(store: Store, key: str, rerun: Sequence[str]) -> bool:
    """Return whether `rerun` asks for another attempt at a cell."""
    return store.status(key) in rerun or ("stale" in rerun and is_stale(store, key))


def is_stale(store: Store, key: str) -> bool:
    """Return whether the cell's result comes from other code than the current one."""
    known = store.summary(key)
    return known is not None and store.is_stale(key, known)


def _impossible(store: Store, todo: Mapping[str, Cell], keep: str, device: str, check: str) -> list[Hole]:
    """Return the cells that cannot run, each with its reason, and the cells that build on them.

    Every distinct method x model is checked once, in one child, so that a bad target costs no training. Each task's
    text and label words are checked for each model as well. Raises UsageError where the device cannot be used.
    """
    errors: dict[str, UsageError] = {}
    for key, cell in todo.items():
        try:
            parent_order.check([cell], keep)
            given = replace(cell, parents=tuple(pair for pair in cell.parents if pair[1] not in todo))
            if any(lacks_weights(store, parent) for _, parent in given.parents) and (reason := obstacle(store, given)):
                raise UsageError(f"{reason}.")
        except UsageError as error:
            errors[key] = error
    left = {key: cell for key, cell in todo.items() if key not in errors}
    errors |= _preflight(left, device, check) if left else {}
    for cell in parent_order.first(todo.values()):
        parents = [parent for _, parent in cell.parents if parent in errors]
        if parents:
            reason = f"it builds on a cell that cannot run: {errors[parents[0]]}"
            errors.setdefault(identity.key(cell), UsageError(reason))
    return [holes_of_grid.of(todo[key], key, errors[key]) for key in todo if key in errors]


def _preflight(todo: Mapping[str, Cell], device: str, check: str) -> dict[str, UsageError]:
    """Return key -> the reason why the cell cannot run, of those that the child finds.

    What passed in an earlier command is not checked again, and without anything to check no child is started.
    """
    pairs: dict[str, object] = {}
    needed: dict[str, list[str]] = {}
    for key, cell in todo.items():
        layers = () if cell.recipe.awake_layers is None else (cell.recipe.awake_layers,)
        own: list[object] = [
            (cell.method, cell.model, cell.objective, *layers),
            (cell.model, cell.objective, cell.task),
            (cell.method, cell.model, cell.objective, cell.task),
        ]
        needed[key] = [repr(pair) for pair in own]
        pairs |= dict(zip(needed[key], own, strict=True))
    modules = forkserver.preload(cell.model.family for cell in todo.values())

    def ask(checks: list[object]) -> list[str | None]:
        if not checks and device in EVERYWHERE:
            return []
        unusable, *messages = forkserver.call(check, (checks, device), modules)
        if unusable:
            raise UsageError(unusable)
        return messages

    lasting = {name for key, cell in todo.items() if remembered_answers.lasts(cell, files=True) for name in needed[key]}
    answered = remembered_answers.answers(check, pairs, lasting, ask, lambda message: message is None)
    reasons = {name: message for name, message in answered.items() if message}
    refusals = {key: [reasons[name] for name in names if name in reasons] for key, names in needed.items()}
    return {key: UsageError(together(texts)) for key, texts in refusals.items() if texts}
