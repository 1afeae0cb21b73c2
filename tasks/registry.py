"""Tasks: `base.py` is their contract, one suite per file, `microworld/` is the embedded default. Torch-free.

A suite is a module with `TASKS: Mapping[str, TaskRow]`: a file here, `tasks.py` in a folder here, or a module
that an installed package names under the entry-point group `deltabench.tasks`.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from harness.config.schema import TaskConfig
from harness.errors import UsageError, near
from harness.former_modules import import_plugin
from tasks import prompts
from tasks.base import Task, TaskRow
from tasks.data import checks, data_root, few_shot, generated_digests, row_notes, user_task
from tasks.data import splits as choose

ENTRY_POINTS = "deltabench.tasks"
OWN_NAME = "own"
"""The name of the task that a command line describes."""
WITH_WORDS = (prompts.CLOZE, prompts.BARE)
"""The kinds of prompts of which a masked encoder reads words of their own, which belong to the digest."""
OWN = TaskRow(OWN_NAME, "", "accuracy", user_task.load)
"""What stands for a task that a user's YAML describes, where only its name is known."""


@cache
def catalogue() -> Mapping[str, TaskRow]:
    """Return every task by name. Raise UsageError where two suites claim one name."""
    rows: dict[str, TaskRow] = {}
    for module in _suites():
        for name, row in import_plugin(module).TASKS.items():
            if name in rows:
                raise UsageError(f"two suites claim the task {name!r}; the second is {module}. Rename one of them.")
            rows[name] = row
    return dict(sorted(rows.items()))


def import_suites() -> None:
    """Import the suites of this package, for a process whose children read tasks; foreign suites are left out."""
    for module in _suites():
        if module.partition(".")[0] == __package__:
            importlib.import_module(module)


def foreign() -> bool:
    """Return whether installed packages of others have suites, which are imported with ours."""
    return bool(entry_points(group=ENTRY_POINTS))


def find(name: str) -> TaskRow:
    """Return the row of one task. Raise UsageError, with near names, where there is none."""
    if name not in catalogue():
        raise UsageError(f"there is no task {name!r}.{near(name, catalogue())}")
    return catalogue()[name]


def row(config: TaskConfig) -> TaskRow:
    """Return the row of a configured task: a registered one, adapted, or one that the configuration describes."""
    if config.name not in catalogue():
        if not user_task.is_own(config):
            absent = f"there is no task {config.name!r}.{near(config.name, catalogue())} A task of your own"
            raise UsageError(
                f"{'task=own' if config.name == OWN_NAME else absent} needs task.template: its input text over the "
                "columns, as in {text}."
            )
        return user_task.row(config)
    if config.prompt == prompts.BARE and config.template is not None:
        raise UsageError(
            f"task.prompt={prompts.BARE} and task.template say two things about the text of {config.name}; leave one "
            "out."
        )
    return user_task.adapt(prompts.put(config.name, find(config.name), _prompt(config)), config)


def _prompt(config: TaskConfig) -> str:
    """Return the kind of prompt that a configuration names. Raise UsageError where the task has none of that kind."""
    known = (prompts.TEXT, prompts.BARE, *prompts.PROMPTS.get(config.name, {}))
    if config.prompt not in (*known, prompts.AUTO):
        raise UsageError(f"task.prompt={config.prompt}: task {config.name} has these: {', '.join(known)}.")
    return config.prompt


def prompted(config: TaskConfig, objective: str) -> TaskConfig:
    """Return a resolved configuration whose prompt is named: where it is left open, the usual one of the objective.

    A template of the configuration's own replaces every prompt.
    """
    if config.prompt != prompts.AUTO:
        return config
    kind = prompts.TEXT if config.template is not None else prompts.usual(config.name, objective)
    named = replace(config, prompt=kind)
    return named if kind == prompts.TEXT else resolve(named)


def load(config: TaskConfig) -> Task:
    """Return the task with its data, cut to the configured sizes and checked.

    Raise UsageError for data that break a rule, and for data that are not those of `config.digest` (if it has one).
    """
    task, digest = _read(replace(config, data_dir=data_root.place(row(config), config), digest=""))
    if config.digest and config.digest != digest:
        raise UsageError(
            f"task {config.name}: its data changed since this cell was planned (digest {config.digest}, "
            f"now {digest}). Run the command again to plan with the data as they are now."
        )
    return task


def resolve(config: TaskConfig) -> TaskConfig:
    """Return the configuration with `digest` filled, from the rows, the template and the label words.

    Where the rows lie in the data root, `data_dir` is filled too.
    """
    placed = replace(config, data_dir=data_root.place(row(config), config), digest="")

    def read() -> str:
        return _read(placed)[1]

    return replace(placed, digest=generated_digests.digest(placed, read) if row(config).generated else read())


@lru_cache(maxsize=64)
def leaked(config: TaskConfig) -> str:
    """Return in words which rows of test and validation are also in train; "" for none."""
    return row_notes.leaked(load(replace(config, shots=0)))


@lru_cache(maxsize=64)
def notes(config: TaskConfig) -> tuple[str, ...]:
    """Return all that a reader of a score should know of the task's rows, in sentences. See tasks/data/row_notes.py."""
    task = load(replace(config, shots=0))
    sentences = user_task.unread(config), user_task.quoted(config, task.splits), leaked(config)
    return (*filter(None, sentences), *row_notes.poor(task))


@lru_cache(maxsize=64)
def _read(config: TaskConfig) -> tuple[Task, str]:
    known = row(config)
    splits = choose.limit(known.load(config), config)
    task = Task(
        name=config.name, category=known.category, template=known.template, metric=known.metric, splits=splits,
        label_words=known.label_words, answer=known.answer, chance=known.chance,
        max_input_tokens=config.max_input_tokens or known.max_input_tokens,
        max_target_tokens=known.max_target_tokens, source=known.source, notes=known.notes,
        cloze=known.cloze, cloze_words=known.cloze_words,
    )  # fmt: skip
    checks.check(task)
    if config.shots:
        few_shot.check(task, config.shots)
    return task, checks.digest(task, (task.cloze, *task.cloze_words) if config.prompt in WITH_WORDS else ())


def _suites() -> Iterator[str]:
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/tasks.py")]):
        if path.name != "__init__.py" and "\nTASKS" in path.read_text(encoding="utf-8"):
            yield ".".join([str(__package__), *path.relative_to(folder).with_suffix("").parts])
    for point in entry_points(group=ENTRY_POINTS):
        yield point.value
