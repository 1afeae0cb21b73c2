"""What can be named: methods, models, tasks, recipes, exhibits, claims, launchers, probes.

deltabench list methods|models|tasks|recipes|exhibits|claims|launchers|probes [--json]
"""

import argparse
import json
from typing import Any

from harness import assets
from harness.config import conf_files, launchers, yaml_safety
from harness.errors import UsageError, near
from harness.experiments import claims, exhibits
from harness.probes import registry as probes
from methods import registry as methods
from methods.backbone.applicability import families
from tasks import listing as task_listing

WHAT = ("methods", "models", "tasks", "recipes", "exhibits", "claims", "launchers", "probes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="|".join(WHAT))
    parser.add_argument("--json", action="store_true", help="as JSON")


def main(arguments: argparse.Namespace) -> int:
    if arguments.what not in WHAT:
        raise UsageError(f"there is no listing {arguments.what!r}.{near(arguments.what, WHAT)}")
    rows = listing(arguments.what)
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    if arguments.what == "tasks":
        wrong = [f"{row['name']} is not usable: {row['refused']}" for row in rows if "refused" in row]
        print("\n".join([*task_listing.table(rows), *wrong]))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['about']}{_scales(row)}")
    return 0


def _scales(row: dict[str, Any]) -> str:
    """Of an exhibit: what there is to run; without quick or embedded it takes a GPU."""
    return f" [{', '.join(row['scales']) or 'published only'}]" if "scales" in row else ""


def listing(what: str) -> list[dict[str, Any]]:
    """Rows with `name`, `about` and what else is known without loading anything."""
    if what == "probes":
        return [{"name": name, "about": probes.about(name)} for name in probes.names()]
    if what == "claims":
        return [{"name": name, "about": claims.find(name).sentence} for name in claims.names()]
    if what == "exhibits":
        return [_exhibit(name) for name in exhibits.names(conf_files.folders()[:-1])]
    group = what.removesuffix("s")
    return [_usable(group, name) for name in conf_files.names(group)]


def _exhibit(name: str) -> dict[str, Any]:
    try:
        found = exhibits.load(name, conf_files.folders()[:-1])
    except UsageError as error:  # one that cannot be used hides no other
        return {"name": name, "about": f"Not usable: {error}", "source": "", "scales": []}
    return {"name": name, "about": found.title, "source": found.source, "scales": [*found.grids]}


def _usable(group: str, name: str) -> dict[str, Any]:
    """A row; of a user's YAML that cannot be used, what is wrong about it."""
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
        row |= task_listing.facts(name, path)
        row["about"] = row["about"] or f"{row['category']}, {row['metric']}: {row['source']}"
    return row
