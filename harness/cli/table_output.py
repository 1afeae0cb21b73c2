"""Tables of cells as text, CSV, Markdown, LaTeX or JSON."""

import json
import sys
from collections.abc import Callable, Mapping

from harness import terminal
from harness.analysis import grid_table, report
from harness.analysis.grid_table import Choice, Shown
from harness.analysis.output import table
from harness.files import strict_json
from harness.store.store import Store


def text(made: Shown) -> None:
    """Print the tables for people: in parts of some columns where the terminal is too narrow for all."""
    width = terminal.width()
    console = terminal.console(width=width or max([200, *map(len, _lines(made)), *map(table.width, made.tables)]))
    parts = [part for drawn in made.tables for part in (table.fitting(drawn, width) if width else [drawn])]
    report.show_tables(parts, console)
    if not made.tables:
        print("\n".join(made.states))


def after(store: Store, choice: Choice) -> None:
    """Print the table of a sweep that has ended; nothing where none of its reported cells has a score."""
    trials = choice.exhibit.tuning_seeds() if choice.exhibit else frozenset()
    shown = [key for key, cell in choice.cells.items() if cell is None or cell["seed"] not in trials]
    if any(store.status(key) == "done" for key in shown):
        print()
        text(grid_table.make(store, choice))


def _lines(made: Shown) -> list[str]:
    return [f"  {line}" for drawn in made.tables for line in (f"{drawn.title}: {drawn.model}", *drawn.notes)]


def csv(made: Shown) -> None:
    """Print the tables as one CSV; what a reader has to know besides goes to the error stream."""
    print(table.to_csv(made.tables), end="")
    print("".join(f"{line}\n" for line in made.states), end="", file=sys.stderr)


def markdown(made: Shown) -> None:
    """Print the tables as Markdown."""
    print("\n".join(map(table.to_markdown, made.tables)), end="")


def latex(made: Shown) -> None:
    """Print the tables for LaTeX, with the package booktabs."""
    print("\n".join(map(table.to_latex, made.tables)), end="")


def as_json(made: Shown) -> None:
    """Print the tables with the keys behind every number, and every cell with its state and score."""
    content = {
        "by": [axis for axis in made.by if axis],
        "metric": made.metric,
        "unit": made.unit,
        "tables": [table.to_json(drawn) for drawn in made.tables],
        "cells": list(made.cells),
    }
    print(json.dumps(strict_json.finite(content), ensure_ascii=False, indent=1))


FORMATS: Mapping[str, Callable[[Shown], None]] = {
    "text": text, "csv": csv, "md": markdown, "latex": latex, "json": as_json
}  # fmt: skip
