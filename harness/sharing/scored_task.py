"""What a shared delta says of the rows and the texts on which it was scored, so that it is scored on them again.

These are the fields of its task and the digest of the task's rows. Folders stay behind: where rows are one's own,
whoever scores the delta says where they are. Torch is not imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from harness.config.building import parse_fields
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from harness.experiments.grids import options
from tasks import registry as tasks
from tasks.data import user_task

PLACES = {"data_dir": "DATA_FOLDER", "files": "FILES"}
"""The fields that hold paths of one machine -> what stands for them in a command."""
FIELDS = {field.name: field.default for field in fields(TaskConfig) if field.name not in ("name", "digest", *PLACES)}
"""The fields that decide which rows and texts are scored -> their declared defaults."""


@dataclass(frozen=True)
class ScoredTask:
    """The task of a delta.

    - fields: its fields that are not at their declared default. None where an earlier version described it.
    - digest: that of its rows, its template and its label words; "" where it is not known.
    - places: the fields that said where its rows are.
    """

    name: str
    fields: Mapping[str, Any] | None = None
    digest: str = ""
    places: tuple[str, ...] = ()


def described(task: TaskConfig) -> dict[str, Any]:
    """Return what `read` reads again, as JSON values."""
    values = {name: getattr(task, name) for name in FIELDS}
    return {
        "fields": {name: _listed(value) for name, value in values.items() if value != FIELDS[name]},
        "digest": task.digest,
        "places": [name for name in PLACES if getattr(task, name)],
    }


def read(name: str, content: Any) -> ScoredTask:
    """Return the task that a file describes. content: what `described` returned; None in files of earlier versions.

    A field of a later version is left out; the digest tells whether it matters. Raises UsageError for other content.
    """
    if content is None:
        return ScoredTask(name)
    try:
        given = {field: value for field, value in content["fields"].items() if field in FIELDS}
        places = tuple(place for place in PLACES if place in content["places"])
        return ScoredTask(name, parse_fields(TaskConfig, given, "task"), str(content["digest"]), places)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("its rows do not have the form of a delta's description") from error


def choices(task: ScoredTask, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of a grid that stand for the task. given: the choices of a command line, which win.

    A task whose YAML is not here is one of its own. Raises UsageError where nobody says where its rows are.
    """
    if task.fields is None:
        return {"task": task.name}
    described_whole = user_task.is_own(TaskConfig(task.name, **task.fields))
    name = tasks.OWN_NAME if described_whole and task.name not in options.names("task") else task.name
    if given.get("task", [name]) not in ([name], [task.name]):  # another task, to which these fields do not belong
        return {"task": task.name}
    if name == tasks.OWN_NAME and not any(f"task.{place}" in given for place in PLACES):
        raise UsageError(
            f"it was scored on its author's own rows (task {task.name}), and a shared delta holds no rows; say where "
            f"they are: {' '.join(words(task)) or 'task.data_dir=DATA_FOLDER'}."
        )
    values = {**FIELDS, **task.fields}
    return {"task": name, **{f"task.{field}": [_listed(value)] for field, value in values.items()}}


def words(task: ScoredTask) -> list[str]:
    """Return the words of a command line that say where the rows are, with placeholders."""
    return [f"task.{place}={PLACES[place]}" for place in task.places]


def other_rows(task: ScoredTask, scored: TaskConfig) -> str:
    """Return a sentence where the scored rows are not those of the description; "" where they are, or may be."""
    if not task.digest or task.digest == scored.digest:
        return ""
    return (
        f"other rows than the card's, or other texts of them: {scored.name} has the digest {scored.digest} here, and "
        f"the card's {task.name} has {task.digest}. So these scores are not to be compared with the card's."
    )


def _listed(value: Any) -> Any:
    """Return a value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value
