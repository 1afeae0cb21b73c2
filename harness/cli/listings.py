"""The rows of `deltabench list`: what can be named, with all that is known without loading a model or data.

Torch is not imported.
"""

import ast
import fnmatch
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import assets
from harness.cli import field_rows
from harness.config import conf_files, launchers, yaml_safety, yaml_values
from harness.errors import UsageError, near
from harness.experiments import claims, exhibits, view_registry
from harness.experiments.grids import options
from harness.files import plain_files
from harness.paths import located
from harness.probes import registry as probes
from harness.training.objectives import registry as objectives
from methods import registry as methods
from methods.backbone.applicability import families
from tasks import prompts
from tasks import registry as tasks
from tasks.base import TaskRow
from tasks.data import data_root

Facts = dict[str, Any]


WHAT = ("methods", "models", "tasks", "recipes", "exhibits", "views", "claims", "launchers", "probes", "fields")
SIGNS = "*?["


def listing(what: str, word: str | None = None) -> list[dict[str, Any]]:
    """Return rows with `name`, `about` and whatever is known without loading a model or data.

    word: keeps the rows whose name has it, or matches it as a pattern; else those whose other texts have it. For fields
    it is the option or the kind whose fields are listed. Raises UsageError where no row is left.
    """
    if what == "fields":
        return field_rows.rows(word)
    rows = _all(what)
    return rows if word is None else filtered(what, rows, word)


def filtered(what: str, rows: Sequence[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    """Return the rows that a word stands for. Raises UsageError, with near names, where there is none."""
    if any(sign in word for sign in SIGNS):
        matches = [row for row in rows if fnmatch.fnmatchcase(row["name"], word)]
    else:
        wanted = word.casefold()
        matches = [row for row in rows if wanted in row["name"].casefold()]
        matches = matches or [row for row in rows if any(wanted in text.casefold() for text in _texts(row))]
    if not matches:
        names = [row["name"] for row in rows]
        raise UsageError(f"no row of `deltabench list {what}` has {word!r}.{near(word, names)}")
    return matches


def _texts(row: Mapping[str, Any]) -> list[str]:
    """Return the texts of a row that a word may be in."""
    return [value for value in row.values() if isinstance(value, str)]


def _all(what: str) -> list[dict[str, Any]]:
    if what == "probes":
        return [{"name": name, "about": probes.about(name)} for name in probes.names()]
    if what in ("claims", "views", "exhibits"):
        loaded = {name: _loaded(name) for name in exhibits.names(conf_files.folders()[:-1])}
        usable = [exhibit for exhibit in loaded.values() if not isinstance(exhibit, UsageError)]
        if what == "claims":
            return [_claim(name, usable) for name in claims.names()]
        if what == "views":
            return [_view(name, usable) for name in view_registry.names()]
        return [_exhibit(name, exhibit) for name, exhibit in loaded.items()]
    group = what.removesuffix("s")
    return [_usable(group, name) for name in options.names(group)]


def _loaded(name: str) -> exhibits.Exhibit | UsageError:
    """Return an exhibit, or why it cannot be used: the others are listed nevertheless."""
    try:
        return exhibits.load(name, conf_files.folders()[:-1])
    except UsageError as error:
        return error


def _exhibit(name: str, exhibit: exhibits.Exhibit | UsageError) -> dict[str, Any]:
    if isinstance(exhibit, UsageError):
        return {"name": name, "about": f"Not usable: {exhibit}", "source": "", "scales": []}
    return {"name": name, "about": exhibit.title, "source": exhibit.source, "scales": [*exhibit.grids]}


def _claim(name: str, usable: Sequence[exhibits.Exhibit]) -> dict[str, Any]:
    """Return a claim with the options that an exhibit may set, and the exhibits that test it."""
    claim = claims.find(name)
    return {
        "name": name,
        "about": claim.sentence,
        "options": dict(claim.options),
        "scale": claim.scale,
        "exhibits": [exhibit.name for exhibit in usable if any(tested == name for tested, _ in exhibit.claims)],
    }


def _view(name: str, usable: Sequence[exhibits.Exhibit]) -> dict[str, Any]:
    """Return a view with its kind and the exhibits that show it; its module is not imported."""
    view = view_registry.VIEWS[name]
    module, function = view.target.split(":")
    return {
        "name": name,
        "about": _first_paragraph(module, function),
        "kind": view.kind,
        "exhibits": [exhibit.name for exhibit in usable if name in exhibit.views],
    }


def _first_paragraph(module: str, function: str) -> str:
    """Return the first paragraph of a function's docstring without its "Return", from the source; "" without one."""
    spec = importlib.util.find_spec(module)
    body = ast.parse(plain_files.read_text(spec.origin)).body if spec and spec.origin else []
    named = (node for node in body if isinstance(node, ast.FunctionDef) and node.name == function)
    text = next(((ast.get_docstring(node) or "").split("\n\n")[0] for node in named), "").removeprefix("Return ")
    line = " ".join(text.split())
    return line[:1].upper() + line[1:]


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
        "objectives": [name for name, kinds in objectives.ANSWERS.items() if row.kind in kinds],
        "prompts": {kind: vars(prompt) for kind, prompt in prompts.PROMPTS.get(name, {}).items()},
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
        content = yaml_values.load(plain_files.read_text(path)) if path else None
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
