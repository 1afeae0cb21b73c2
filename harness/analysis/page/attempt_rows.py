"""Every attempt as one row of figures, and as everything that its page shows. Torch-free."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import private_paths
from harness.analysis.page import packed
from harness.errors import UsageError
from harness.experiments.grids import labels
from harness.experiments.rerun_command import command, missing
from harness.probes import registry as probes
from harness.store import archive, columns, identity
from harness.store.record import run_joules, scores

BYTES_PER_PARAMETER = 4
"""Of a stored delta: its tensors are written in fp32, also where training is in bf16."""
FIELDS = ("method", "model", "task", "recipe")


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    record: as stored, without paths of this machine. group: the exhibit or grid that it belongs to. counts: whether it
    is the attempt that counts for its cell. log: the last lines that it wrote. stored: the bytes of the file with its
    trained tensors; None where there is no such file. origin: "reference" beside the records of a store, else "".
    """

    record: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]
    group: str
    counts: bool = True
    stale: bool = False
    log: Sequence[str] = ()
    stored: int | None = None
    origin: str = ""


@dataclass(frozen=True)
class Column:
    """A column of the rows. unit: of its numbers. log: whether it is drawn on a logarithmic axis at first."""

    name: str
    label: str
    of: Callable[[Attempt], Any] = field(repr=False)
    number: bool = True
    unit: str = ""
    log: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what the page knows of the column."""
        return {name: value for name, value in vars(self).items() if name != "of"}


def _at(*place: str) -> Callable[[Attempt], Any]:
    """Return the function that reads a place of an attempt's record."""

    def read(attempt: Attempt) -> Any:
        value: Any = attempt.record
        for name in place:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    return read


def _name(part: str) -> Callable[[Attempt], Any]:
    return lambda attempt: attempt.record["cell"][part]["name"]


def _score(role: str) -> Callable[[Attempt], Any]:
    return lambda attempt: scores(attempt.record)[role] if attempt.record.get("scores") else None


def _trained(attempt: Attempt) -> Any:
    return _at("parameters", "delta")(attempt)


def _share(attempt: Attempt) -> Any:
    trained, whole = _trained(attempt), _at("parameters", "backbone")(attempt)
    return None if trained is None or not whole else trained / whole


def _stored(attempt: Attempt) -> Any:
    """Return the bytes of the file of the trained tensors; those of its numbers alone where the file is not here."""
    if attempt.stored is not None:
        return attempt.stored
    trained = _trained(attempt)
    return None if trained is None else BYTES_PER_PARAMETER * (trained + (_at("parameters", "head")(attempt) or 0))


def _peak(attempt: Attempt) -> Any:
    allocated = _at("memory", "train", "torch_allocated_bytes")(attempt)
    return allocated if allocated is not None else _at("memory", "train", "live_bytes")(attempt)


def _forgotten(attempt: Attempt) -> Any:
    """Return what a probe calls forgetting, where one measured it."""
    for result in (attempt.record.get("probes") or {}).values():
        if isinstance(result, Mapping):
            for name, value in result.items():
                if "forget" in str(name) and isinstance(value, int | float) and not isinstance(value, bool):
                    return value
    return None


COLUMNS = (
    Column("key", "key", lambda attempt: attempt.record["key"], number=False),
    Column("attempt", "attempt", lambda attempt: attempt.record["attempt"]),
    Column("counts", "counts", lambda attempt: attempt.counts, number=False),
    Column("status", "status", lambda attempt: attempt.record["status"], number=False),
    Column("stale", "stale", lambda attempt: attempt.stale, number=False),
    Column("group", "exhibit or grid", lambda attempt: attempt.group, number=False),
    Column("origin", "records", lambda attempt: attempt.origin or None, number=False),
    Column("method", "method", _name("method"), number=False),
    Column("arm", "arm", lambda attempt: "", number=False),
    Column("model", "model", _name("model"), number=False),
    Column("task", "task", _name("task"), number=False),
    Column("seed", "seed", lambda attempt: attempt.record["cell"]["seed"]),
    Column("rate", "learning rate", _at("cell", "recipe", "learning_rate"), log=True),
    Column("test", "test score", _score("test"), unit="points"),
    Column("validation", "validation score", _score("validation"), unit="points"),
    Column("normalised", "normalised score", lambda attempt: None, unit="share"),
    Column("share", "trainable share", _share, unit="%", log=True),
    Column("stored", "stored bytes", _stored, unit="bytes", log=True),
    Column("peak", "peak memory", _peak, unit="bytes", log=True),
    Column("process", "peak memory of the process", _at("memory", "train", "process_bytes"), unit="bytes"),
    Column("step", "step time", _at("time", "step_ms", "median"), unit="ms", log=True),
    Column("seconds", "training time", _at("time", "train_s"), unit="s", log=True),
    Column("flops", "operations per step", _at("flops", "step"), unit="FLOP", log=True),
    Column("energy", "energy", lambda attempt: run_joules(attempt.record), unit="J", log=True),
    Column("forgetting", "forgetting", _forgotten),
    Column("best_step", "best step", _at("best_step")),
)


def rows(attempts: Sequence[Attempt], normalised: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """Return the columns and their values, [columns][attempts]. normalised: (group, key) -> its score."""
    values = {column.name: [column.of(attempt) for attempt in attempts] for column in COLUMNS}
    values["arm"] = _arms(attempts)
    values["normalised"] = [normalised.get((attempt.group, attempt.record["key"])) for attempt in attempts]
    shown = [column for column in COLUMNS if any(value is not None for value in values[column.name])]
    return {
        "columns": [column.to_json() for column in shown],
        "values": [_coded(values[column.name]) if not column.number else values[column.name] for column in shown],
    }


def _arms(attempts: Sequence[Attempt]) -> list[str]:
    """Return the name of each attempt's arm: its method, and what tells it from the others of its exhibit or grid."""
    places: dict[str, list[int]] = {}
    for place, attempt in enumerate(attempts):
        places.setdefault(attempt.group, []).append(place)
    arms = [""] * len(attempts)
    for here in places.values():
        for place, label in zip(here, labels.of_cells([attempts[at].record["cell"] for at in here]), strict=True):
            arms[place] = label.arm
    return arms


def _coded(values: Sequence[Any]) -> dict[str, list[Any]]:
    """Return texts as places in a list of distinct ones: most columns have few."""
    distinct = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return {"distinct": list(distinct), "at": [distinct[value] for value in values]}


_SEED = re.compile(r"(?<= )seed=\d+")


class Commands:
    """The commands that run cells again. Cells that differ in their seed alone share the work."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, cell: Mapping[str, Any]) -> str:
        """Return the command that runs a cell again, or why there is none."""
        alike = repr({name: value for name, value in cell.items() if name != "seed"})
        if alike not in self._known:
            self._known[alike] = _command(cell)
        return _SEED.sub(f"seed={cell['seed']}", self._known[alike])


def _command(content: Mapping[str, Any]) -> str:
    try:
        cell = identity.from_json(content)
        return missing(cell) or private_paths.command(command(cell))
    except UsageError as error:
        return f"no command: {error}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # a record of another version
        return f"no command: this cell cannot be read ({type(error).__name__}: {error})"


def details(attempt: Attempt, commands: Commands) -> dict[str, Any]:
    """Return what the page of an attempt shows beside the values of its row."""
    record = attempt.record
    shown = (
        "attempt", "status", "scores", "best_step", "parameters", "memory", "live", "time", "flops", "device", "notes",
        "task_facts", "error", "resumed_from", "restarted",
    )  # fmt: skip
    made = record.get("provenance") or {}
    return {
        "fields": _fields(record),
        **{name: record[name] for name in shown if record.get(name) not in (None, {}, [])},
        **({"memory": _rounded(record["memory"])} if record.get("memory") else {}),
        "probes": _described(record),
        "provenance": {name: value for name, value in made.items() if name != "fingerprint_parts"},
        "curve": [{name: value for name, value in point.items() if value is not None} for point in attempt.curve],
        "log": list(attempt.log) or list((record.get("error") or {}).get("log") or ())[-40:],
        "command": commands.of(record["cell"]),
    }


def _rounded(value: Any) -> Any:
    """Return figures of memory with the digits that the page shows: whole bytes would be a tenth of the page."""
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return int(float(f"{value:.{packed.CELL_DIGITS}g}")) if type(value) is int else value


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config fields by their names on the command line, as two cells are compared by them."""
    cell = record["cell"]
    known = {f"{group}.name": cell[group]["name"] for group in FIELDS if "name" in cell[group]}
    parents = {f"parents.{role}": key for role, key in cell.get("parents") or ()}
    return {
        **known,
        **columns.config_fields(cell, record.get("notes")),
        "objective": cell["objective"],
        "seed": cell["seed"],
        **parents,
    }


def _described(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the lines of text of each probe; one line where its results are of another form than today's."""
    try:
        return {name: list(lines) for name, lines in probes.descriptions(record).items()}
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        return {"probes": [f"not readable in this record ({type(error).__name__}: {error})"]}


def from_runs(runs: Sequence[archive.Run], group: str, stale: Mapping[str, str]) -> list[Attempt]:
    """Return the records of a reference run as attempts. stale: keys of those by other code than today's."""
    return [Attempt(run.record, run.curve, group, stale=run.record["key"] in stale) for run in runs]
