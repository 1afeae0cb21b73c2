"""List what can be named: methods, models, tasks, recipes, exhibits, claims, launchers, probes.

deltabench list methods|models|tasks|recipes|exhibits|claims|launchers|probes [--json]
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cli.listings import listing
from harness.errors import UsageError, near
from tasks.data import data_root

WHAT = ("methods", "models", "tasks", "recipes", "exhibits", "claims", "launchers", "probes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench list`."""
    parser.add_argument("what", metavar="|".join(WHAT))
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench list` and return its exit code."""
    if arguments.what not in WHAT:
        raise UsageError(f"there is no listing {arguments.what!r}.{near(arguments.what, WHAT)}")
    rows = listing(arguments.what)
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    if arguments.what == "tasks":
        wrong = [f"{row['name']} is not usable: {row['refused']}" for row in rows if "refused" in row]
        print("\n".join([*table(rows), *wrong]))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['about']}{_scales(row)}")
    return 0


def _scales(row: dict[str, Any]) -> str:
    """Return the scales of an exhibit in brackets; an exhibit without quick or embedded needs a GPU."""
    return f" [{', '.join(row['scales']) or 'published only'}]" if "scales" in row else ""


COLUMNS = {
    "name": "task",
    "category": "category",
    "metric": "metric",
    "verified": "schema",
    "size": "rows",
    "from": "from",
}
WIDEST = 34  # characters of a column; a longer text shifts its own line only


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines for a terminal: one per task, with how its schema was verified and where its rows come from."""
    lines = [COLUMNS, *({**row, "from": _from(row)} for row in rows)]
    width = {key: min(WIDEST, max(len(str(line.get(key, ""))) for line in lines)) for key in COLUMNS}
    texts = ["  ".join(f"{line.get(key, '')!s:<{width[key]}}" for key in COLUMNS).rstrip() for line in lines]
    here = sum(row.get("offline") is not None for row in rows)
    return [*texts, f"{len(rows)} tasks, {here} can run here without a network; {_root()}"]


def _from(row: Mapping[str, Any]) -> str:
    """Return the local folder, else the Hub's address, or what has to be downloaded or built by hand."""
    return row.get("offline") or f"{'Hub' if row.get('hub') else 'a folder of'} {row['source']}"


def _root() -> str:
    above = data_root.root()
    return (
        f"{data_root.VARIABLE}={above}"
        if above
        else f"{data_root.VARIABLE}=FOLDER or task.data_dir=FOLDER gives local rows"
    )
