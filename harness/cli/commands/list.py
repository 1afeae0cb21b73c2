"""List what can be named: methods, models, tasks, recipes, exhibits, views, claims, launchers, probes, fields.

deltabench list methods|models|tasks|recipes|exhibits|views|claims|launchers|probes [WORD] [--json]
deltabench list tasks glue              the tasks whose name has the word; a pattern such as 'micro/*' works too
deltabench list fields lora             what can be set of an option (a method, model, task or recipe), with its values
deltabench list fields recipe           of every recipe; also model, task, method, settings, or a part of a field's name

WORD filters by name, or by the other columns where no name has the word. A long suite of tasks is one line; with a WORD
its tasks are listed. On a terminal, texts are wrapped and tables have the columns that fit.
As JSON: a list of rows, each with at least "name" and "about".
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import formatting, terminal
from harness.cli import field_rows, fitting
from harness.cli.listings import WHAT, listing
from harness.errors import UsageError, near
from tasks.data import data_root

Row = Mapping[str, Any]
COLUMNS = {
    "name": "task",
    "category": "category",
    "metric": "metric",
    "size": "rows",
    "verified": "schema",
    "from": "from",
}
LONG = 20
"""A suite of more tasks is one line, unless a word asks for its tasks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench list`."""
    parser.add_argument("what", metavar="|".join(WHAT))
    parser.add_argument(
        "word", nargs="?", metavar="WORD", help="show only the rows with this word; with fields: the option to describe"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench list` and return its exit code."""
    if arguments.what not in WHAT:
        raise UsageError(f"there is no listing {arguments.what!r}.{near(arguments.what, WHAT)}")
    rows = listing(arguments.what, arguments.word)
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    width = terminal.width()
    if arguments.what == "tasks":
        wrong = [f"{row['name']} is not usable: {row['refused']}" for row in rows if "refused" in row]
        print("\n".join([*table(rows, width, arguments.word is not None), *wrong]))
        return 0
    if arguments.what == "fields" and not rows:
        print(f"{arguments.word} has no fields to set.")
        return 0
    named = field_rows.lines(rows) if arguments.what == "fields" else [(row["name"], _about(row)) for row in rows]
    print("\n".join(fitting.described(named, width)))
    return 0


def _about(row: Row) -> str:
    """Return what a row says after its name; an exhibit without the scales quick and embedded needs a GPU."""
    return " ".join([row["about"], *_details(row)])


def _details(row: Row) -> Iterator[str]:
    if "scales" in row:
        yield f"[{', '.join(row['scales']) or 'published only'}]"
    if "options" in row:
        yield f"Options: {', '.join(_option(*pair) for pair in row['options'].items())}."
    if "kind" in row:
        yield f"[{row['kind']}]"
    if "exhibits" in row:
        yield f"In {', '.join(row['exhibits'])}." if row["exhibits"] else "In no exhibit."


def _option(name: str, value: Any) -> str:
    """Return an option with its default; without one, an exhibit has to set it."""
    return name if value is None else f"{name}={formatting.value(value)}"


def table(rows: Sequence[Row], width: int | None = None, each: bool = False) -> list[str]:
    """Return lines for a terminal: one per task, with how its schema was verified and where its rows come from.

    width: the characters of a line; None: any. each: tasks of long suites have a line each, too.
    """
    shown = [{**row, "from": _from(row)} for row in rows]
    texts = [[str(row.get(key, "")) for key in COLUMNS] for row in (shown if each else _collapsed(shown))]
    lines, left_out = fitting.table([*COLUMNS.values()], texts, width)
    here = sum(row.get("offline") is not None for row in rows)
    notes = [f"{len(rows)} tasks, {here} can run here without a network; {_root()}"]
    if left_out:
        notes.insert(0, f"Columns without room: {', '.join(left_out)}. A wider terminal, a pipe and --json show them.")
    return [*lines, *(line for note in notes for line in fitting.sentence(note, width))]


def _collapsed(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows, with one row in the place of every long suite."""
    suites = Counter(_suite(row) for row in rows)
    seen: set[str] = set()
    for row in rows:
        suite = _suite(row)
        if not suite or suites[suite] <= LONG:
            yield row
        elif suite not in seen:
            seen.add(suite)
            yield {
                **row,
                "name": f"{suite}/*",
                "category": f"{suites[suite]} tasks",
                "metric": "several",
                "size": f"`deltabench list tasks {suite}`",
                "verified": row["verified"],
            }


def _suite(row: Row) -> str:
    """Return the suite of a task, the part of its name before `/`; "" for a task without one."""
    return str(row["name"]).rpartition("/")[0]


def _from(row: Row) -> str:
    """Return the local folder, else the Hub's address, or what has to be downloaded or built by hand."""
    return row.get("offline") or f"{'Hub' if row.get('hub') else 'a folder of'} {row['source']}"


def _root() -> str:
    above = data_root.root()
    return (
        f"{data_root.VARIABLE}={above}"
        if above
        else f"{data_root.VARIABLE}=FOLDER or task.data_dir=FOLDER gives local rows"
    )
