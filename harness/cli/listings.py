"""The rows of `deltabench list`: what can be named, with whatever is known without loading a model or data. Torch-free."""

from pathlib import Path
from typing import Any

from harness import assets, atomic_files
from harness.config import conf_files, launchers, yaml_safety, yaml_values
from harness.errors import UsageError
from harness.experiments import claims, exhibits, options
from harness.paths import located
from harness.probes import registry as probes
from methods import registry as methods
from methods.backbone.applicability import families
from tasks import registry as tasks
from tasks.base import TaskRow
from tasks.data import data_root

Facts = dict[str, Any]


def listing(what: str) -> list[dict[str, Any]]:
    """Return rows with `name`, `about` and whatever is known without loading a model or data."""
    if what == "probes":
        return [{"name": name, "about": probes.about(name)} for name in probes.names()]
    if what == "claims":
        return [{"name": name, "about": claims.find(name).sentence} for name in claims.names()]
    if what == "exhibits":
        return [_exhibit(name) for name in exhibits.names(conf_files.folders()[:-1])]
    group = what.removesuffix("s")
    return [_usable(group, name) for name in options.names(group)]


def _exhibit(name: str) -> dict[str, Any]:
    try:
        exhibit = exhibits.load(name, conf_files.folders()[:-1])
    except UsageError as error:  # the other exhibits are listed nevertheless
        return {"name": name, "about": f"Not usable: {error}", "source": "", "scales": []}
    return {"name": name, "about": exhibit.title, "source": exhibit.source, "scales": [*exhibit.grids]}


def _usable(group: str, name: str) -> dict[str, Any]:
    """Return the row of an option, with the reason where a user's YAML cannot be used."""
    path = conf_files.files(group).get(name)
    wrong = yaml_safety.trouble(path, group == "launcher") if path and assets.conf() not in path.parents else ""
    if wrong and group == "launcher":
        return {"name": name, "about": f"Not usable: {wrong}", "usable": False, "missing": wrong, "fields": []}
    row = _row(group, name)
    return {**row, "about": f"Not usable: {wrong}", "refused": wrong} if wrong else row


def _row(group: str, name: str) -> dict[str, Any]:
    path = conf_files.files(group).get(name)
    row: dict[str, Any] = {"name": name, "about": conf_files.header(path) if path else ""}
    if group == "method" and name in methods.catalogue():
        entry = methods.catalogue()[name]
        row["about"] = row["about"] or entry.doc
        row["fields"] = {field: spec.type_text for field, spec in entry.fields.items()}
        row["parents"] = entry.parents
        row["families"] = families(name)
    if group == "launcher":
        needed = launchers.missing(name)
        free = [field for field in launchers.declared(name) if field not in launchers.FIXED]
        row |= {"usable": needed is None, "missing": needed, "fields": free}
        row["about"] += f" Fields: {', '.join(f'launcher.{field}' for field in free)}." if free else ""
        row["about"] += f" Not usable here: {needed}" if needed else ""
    if group == "task":
        row |= facts(name, path)
        row["about"] = row["about"] or f"{row['category']}, {row['metric']}: {row['source']}"
    return row


def facts(name: str, path: Path | None) -> Facts:
    """Return facts about a registered task, or about a user's task in the YAML `path`.

    verified: "rows", "docs", "unverified", "generated" or "own". offline: "generated", the folder that has the rows
    without a network, or None; then task.data_dir=FOLDER with `files` (or the Hub, where `hub` is true) provides them.
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


def _on_hub(row: TaskRow) -> bool:
    return bool(row.folder) and not row.source.endswith(("(GitHub)", "script"))


def _own(path: Path | None) -> Facts:
    """Return the facts of a user's task; a broken YAML gives empty facts and is reported when it is used."""
    try:
        content = yaml_values.load(atomic_files.read_text(path)) if path else None
    except (OSError, ValueError):
        content = None
    content = content if isinstance(content, dict) else {}
    folder = located(str(content.get("data_dir", "")))
    known = {key: str(content.get(key, "")) for key in ("category", "metric")}
    offline = str(folder) if content.get("data_dir") and folder.is_dir() else None
    return {
        **known,
        "source": "own files",
        "size": "",
        "verified": "own",
        "schema": "own",
        "offline": offline,
        "hub": False,
    }
