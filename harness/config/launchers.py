"""Launchers: where cells run, which launchers exist, and which of their fields a person may set.

Neither Hydra nor torch is imported.

A launcher is one YAML of conf/launcher (or of a `--config-dir`). Its `launcher:` node holds the fields that can be set
as `launcher.FIELD=value`. The rest of the file maps them to Hydra's launcher by interpolation.
"""

import importlib.metadata
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.config import conf_files, yaml_safety, yaml_values
from harness.config.building import parse_fields
from harness.config.schema import runtime
from harness.errors import UsageError, near
from harness.files import plain_files

_PREFIX = "launcher."


@dataclass(frozen=True)
class Fields:
    """The launcher fields that the harness itself interprets. A YAML has those that it supports, and may add its own.

    - needs, tool: the Python package and the program that the launcher requires.
    - outlives: jobs go on after the driver has ended.
    - devices: how a cell gets its GPU: `leased` (one of this machine, by a lease file) or `given` (by the launcher).
    - jobs: the number of jobs at once.
    - batch: the number of jobs that are handed over together.
    - cells: the number of cells in one job, one after the other.
    - cpus, gpus, memory_gb: the resources of a job; gpus below 1 are shared.
    - time: a job's limit in minutes (90, 90m, 4h, 1d or Slurm's D-HH:MM:SS).
    - retries: how often a job that was lost or ran out of time starts again.
    - address: the address of a running cluster, or local.
    """

    needs: str | None = runtime(None)
    tool: str | None = runtime(None)
    outlives: bool = runtime(False)
    devices: str = runtime("leased", known=("leased", "given"))
    cells: int = runtime(1, least=1, most=100_000)
    jobs: int | None = runtime(None, least=1, most=10_000)
    batch: int | None = runtime(None, least=1, most=100_000)
    cpus: int | None = runtime(None, least=1, most=1024)
    gpus: float | None = runtime(None, least=0.0, most=64.0)
    memory_gb: float | None = runtime(None, above=0.0, most=1e6)
    time: int | None = runtime(None, least=1, most=525_600)
    retries: int = runtime(3, least=0, most=100)
    partition: str | None = runtime(None)
    account: str | None = runtime(None)
    qos: str | None = runtime(None)
    constraint: str | None = runtime(None)
    address: str | None = runtime(None)


FIXED = ("needs", "tool", "outlives", "devices")
"""Fields that a launcher's YAML states and that a command line cannot set."""
_TEXTS = ("partition", "account", "qos", "constraint", "address")


@dataclass(frozen=True)
class Launcher:
    """A launcher's name and the fields that were set for it, as they were written."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def choose(settings: Mapping[str, str], here: bool = True) -> Launcher | None:
    """Return the launcher that `launcher=NAME`, `jobs=N` and `launcher.FIELD=value` ask for; None where none is named.

    Raises UsageError for a name that does not exist, for fields without a launcher and, if `here`, for a launcher that
    is not installed on this machine.
    """
    given = {key.removeprefix(_PREFIX): text for key, text in settings.items() if key.startswith(_PREFIX)}
    if "jobs" in settings:
        if "jobs" in given:
            raise UsageError("jobs and launcher.jobs are one setting; give it once.")
        given["jobs"] = settings["jobs"]
    name = settings.get("launcher")
    if name is None:
        if rest := sorted(set(given) - {"jobs"}):
            raise UsageError(
                f"launcher.{rest[0]} needs a launcher: add launcher={'|'.join(sorted(conf_files.files('launcher')))}."
            )
        return None
    check(name, here)
    return Launcher(name, given)


def check(name: str, here: bool = True) -> None:
    """Raise UsageError where there is no such launcher and, if `here`, where it cannot be used on this machine."""
    if name not in (known := sorted(conf_files.files("launcher"))):
        raise UsageError(f"there is no launcher {name!r}.{near(name, known)}")
    declared(name)
    if here and (reason := missing(name)):
        raise UsageError(f"launcher={name} cannot be used here: {reason}")


def missing(name: str) -> str | None:
    """Return why a launcher cannot be used here, with the command that installs what it needs; None where it can."""
    try:
        content = declared(name)
    except UsageError as error:
        return str(error)
    needs, tool = content.get("needs"), content.get("tool")
    if isinstance(needs, str):
        try:
            importlib.metadata.distribution(needs)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            return f'its package is not installed: pip install {needs} (or pip install "deltabench[launchers]").'
    if isinstance(tool, str) and shutil.which(tool) is None:
        return f"this machine has no {tool}; go to one that has, such as the cluster's login node."
    return None


def declared(name: str) -> dict[str, Any]:
    """Return the `launcher:` node of a YAML as it is written, without inherited fields; {} where it has none.

    Raises UsageError for a file that cannot be read as a YAML map.
    """
    path = conf_files.files("launcher")[name]
    try:
        content = yaml_values.load(plain_files.read_text(path))
        yaml_safety.check_references(content, path, own=True)
        return dict(yaml_values.plain_values((content or {}).get("launcher") or {}))
    except (OSError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"{path.name} must be a YAML map: {' '.join(str(error).split())[:200]}") from error


def settle(launcher: Launcher, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the YAML's fields (`known`), overridden by the launcher's own fields, each in its type.

    Raises UsageError for a field that this launcher does not have, or for a value that breaks its rule.
    """
    for name in launcher.fields:
        if name not in known or name in FIXED:
            free = [name for name in known if name not in FIXED]
            raise UsageError(f"launcher {launcher.name} has no field {name!r}.{near(name, free)} It has {_list(free)}.")
    values = {**known, **launcher.fields}
    ours = {item.name for item in fields(Fields)}
    typed = {name: _checked(name, value) for name, value in values.items() if name in ours}
    parsed = {name: _whole(value) for name, value in parse_fields(Fields, typed, "launcher").items()}
    return {**{name: _own(value) for name, value in values.items()}, **parsed}


def minutes(text: str | int) -> int:
    """Return whole minutes, rounded up, of "90m", "4h", "1d", "90" (minutes, as in Slurm), "HH:MM:SS" or "D-HH:MM:SS".

    Raises UsageError for any other text.
    """
    written = str(text).strip()
    if match := re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhd]?)", written):
        seconds = float(match[1]) * {"s": 1, "": 60, "m": 60, "h": 3600, "d": 86400}[match[2]]
    elif match := re.fullmatch(r"(?:(\d{1,4})-)?(\d{1,3}):(\d\d):(\d\d)", written):
        days, hours, whole, rest = (int(part or 0) for part in match.groups())
        seconds = ((days * 24 + hours) * 60 + whole) * 60 + rest
    else:
        raise UsageError(
            f"launcher.time={written}: give minutes, or a time such as 90m, 4h, 1d, 04:00:00 or 1-12:00:00."
        )
    return -int(-seconds // 60)


def _checked(name: str, value: Any) -> Any:
    """Return a field's value in the form that `Fields` parses. Raises UsageError for a bad time or text."""
    if name == "time" and value is not None and str(value).lower() not in ("null", "none", ""):
        return minutes(value)
    if name in _TEXTS and value is not None and not re.fullmatch(r"[\w.,:@&|*()\[\]/+=-]{1,200}", str(value)):
        raise UsageError(f"launcher.{name}={value}: use letters, digits and . , : @ & | * ( ) [ ] / + = - only.")
    return str(value) if name in _TEXTS and value is not None else value


def _whole(value: Any) -> Any:
    """Return a whole float as an int: schedulers accept 1, not 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _own(value: Any) -> Any:
    """Return a field that only the launcher's YAML knows, as YAML reads it."""
    try:
        return yaml_values.plain_values(yaml_values.load(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _list(names: list[str]) -> str:
    return ", ".join(f"launcher.{name}" for name in names) or "no fields"
