"""What can be said of a task without reading its rows: for `deltabench list tasks`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.config import yaml_values
from harness.paths import located
from tasks import registry as tasks
from tasks.base import TaskRow
from tasks.data import data_root

Facts = dict[str, Any]
COLUMNS = {
    "name": "task",
    "category": "category",
    "metric": "metric",
    "verified": "schema",
    "size": "rows",
    "from": "from",
}
WIDEST = 34  # characters of a column; what is longer pushes its own line only


def facts(name: str, path: Path | None) -> Facts:
    """Of a registered task, or of one's own that is the YAML `path`.

    verified: "rows", "docs", "unverified", "generated" or "own". offline: "generated", the folder its rows are read
    from without a network, or None; then task.data_dir=FOLDER with `files` (or the Hub, where `hub` is true) gives it.
    """
    if name not in tasks.catalogue():
        return _own(path)
    row = tasks.catalogue()[name]
    generated = "generated" in row.source
    folder = data_root.offline(row)
    return {
        "category": row.category,
        "metric": row.metric,
        "answer": row.answer,
        "source": row.source,
        "size": row.size or "generated",
        "verified": "generated" if generated else row.verified,
        "folder": row.folder,
        "files": [" or ".join(names) for names in row.files],
        "hub": _on_hub(row),
        "offline": "generated" if generated else str(folder) if folder else None,
        "notes": dict(row.notes),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines for a terminal: one a task, with how its schema was verified and where its rows come from here."""
    lines = [COLUMNS, *({**row, "from": _from(row)} for row in rows)]
    width = {key: min(WIDEST, max(len(str(line.get(key, ""))) for line in lines)) for key in COLUMNS}
    told = ["  ".join(f"{line.get(key, '')!s:<{width[key]}}" for key in COLUMNS).rstrip() for line in lines]
    here = sum(row.get("offline") is not None for row in rows)
    return [*told, f"{len(rows)} tasks, {here} can run here without a network; {_root()}"]


def _from(row: Mapping[str, Any]) -> str:
    """The folder that is at hand, else the Hub's address, or what has to be fetched or built by hand."""
    return row.get("offline") or f"{'Hub' if row.get('hub') else 'a folder of'} {row['source']}"


def _root() -> str:
    above = data_root.root()
    return (
        f"{data_root.VARIABLE}={above}"
        if above
        else f"{data_root.VARIABLE}=FOLDER or task.data_dir=FOLDER gives local rows"
    )


def _on_hub(row: TaskRow) -> bool:
    return bool(row.folder) and not row.source.endswith(("(GitHub)", "script"))


def _own(path: Path | None) -> Facts:
    """A broken YAML is named when it is used."""
    try:
        said = yaml_values.load(atomic_files.read_text(path)) if path else None
    except (OSError, ValueError):
        said = None
    said = said if isinstance(said, dict) else {}
    folder = located(str(said.get("data_dir", "")))
    known = {key: str(said.get(key, "")) for key in ("category", "metric")}
    offline = str(folder) if said.get("data_dir") and folder.is_dir() else None
    return {
        **known,
        "source": "own files",
        "size": "",
        "verified": "own",
        "schema": "own",
        "offline": offline,
        "hub": False,
    }
