"""Print the scores of any cells as a table: arms by tasks, or any two fields.

deltabench table                                               every cell of the store
deltabench table delta-ranking scale=quick                     an exhibit's cells; further choices as in reproduce
deltabench table method=lora,full 'task=micro/*' seed=0,1,2    the cells of a sweep
deltabench table KEY KEY                                       cells by the first digits of their keys
deltabench table --by method.rank,task --metric memory         rows, columns and the figure
deltabench table --by method,recipe.learning_rate --metric validation
deltabench table --by method --metric test,parameters,memory,step_time
deltabench table --format latex --sort micro/qa                text, csv, md, latex or json

--by ROWS,COLUMNS or ROWS: method, model, task, set (a task's evaluation sets), seed, objective, recipe, or any field
such as method.rank, task.shots, recipe.batch_size. The table averages over seeds, and over tasks where they are on no
axis; with a field of models (model.family) it also averages over the models that share its value. Learning rates are
chosen on validation unless they are an axis. Cells that differ in anything else are in tables of their own.
--metric: test (each task's own metric), validation, another figure of the reported sets such as f1, memory, step_time,
train_time, flops, parameters, or any column of numbers that `deltabench store export` writes. Several stand side by
side where --by is one axis.
Failed, missing and stale cells are named below the table.
As JSON: {"by", "metric", "unit", "tables": [{"title", "model", "columns", "rows": [[{"text", "value", "low", "high",
"keys"}]], "notes"}], "cells": [{"key", "status", "stale", "method", "arm", "model", "task", "learning_rate", "seed",
"name", "metric", "test", "validation", "why_null"}]}.
"""

import argparse

from harness.analysis import cell_rows, grid_table
from harness.cli import cell_choice
from harness.cli.table_output import FORMATS
from harness.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench table`."""
    parser.add_argument("words", nargs="*", metavar="GRID | EXHIBIT | KEY | key=value")
    parser.add_argument("--by", metavar="ROWS,COLUMNS", help=f"the axes; {grid_table.DEFAULT} by default")
    parser.add_argument(
        "--metric", metavar="NAME", help="the figure, or several with commas; the test score by default"
    )
    parser.add_argument("--sort", metavar="COLUMN", help="sort the rows by this column, the best first")
    parser.add_argument("--format", default="text", metavar="|".join(FORMATS), help="text by default")
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench table` and return its exit code."""
    chosen = "json" if arguments.json else arguments.format
    if chosen not in FORMATS:
        raise UsageError(f"--format {chosen}: it must be one of {', '.join(FORMATS)}.")
    store, choice = cell_choice.choose(arguments.words)
    made = grid_table.make(store, choice, arguments.by, arguments.metric, arguments.sort)
    if chosen == "text":
        print(f"{choice.name}: {cell_rows.counted(made.cells)}\n")
    FORMATS[chosen](made)
    return 0
