"""Export a finished cell's delta, import one from PEFT, or score one.

deltabench delta export KEY --to FOLDER [--format deltabench|peft|merged] [--checkpoint best|last] [store=DIR]
deltabench delta import FOLDER --to FOLDER model=NAME [task=NAME] [objective=NAME]     PEFT's adapter files to ours
deltabench delta score FOLDER [task=NAME] [model=NAME] [device=cpu] [--json]           on validation and test rows

--format deltabench: delta.safetensors and method.json. peft: adapter_model.safetensors and adapter_config.json (LoRA,
DoRA, VeRA, IA3, prompt). merged: the backbone with the delta folded in, which AutoModel loads. A score is printed and
not stored; it is that of the rows and texts of the training, whose sizes, template and label words come with the delta.
Rows of one's own do not: task.data_dir=FOLDER says where they are. Nothing is unpickled. A folder that is not empty is
never written to.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.cli import command_line
from harness.config import compose
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError, near
from harness.experiments.grids import grid
from harness.files import strict_json
from harness.paths import named
from harness.sharing import model_card, scored_task
from harness.sharing.new_folder import new_folder
from harness.store.attempt_folder import CHECKPOINTS
from harness.store.store import Store

FORMATS = ("deltabench", "peft", "merged")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench delta`."""
    parser.add_argument("action", metavar="|".join(ACTIONS))
    parser.add_argument("source", metavar="KEY | FOLDER")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--to", metavar="FOLDER", help="an empty or new folder to write to")
    parser.add_argument("--format", default="deltabench", metavar="|".join(FORMATS), help="the files of an export")
    parser.add_argument("--checkpoint", default="best", metavar="|".join(CHECKPOINTS), help="the weights of an export")
    parser.add_argument("--json", action="store_true", help="print a score as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench delta` and return its exit code."""
    for value, known in (
        (arguments.action, tuple(ACTIONS)),
        (arguments.format, FORMATS),
        (arguments.checkpoint, CHECKPOINTS),
    ):
        if value not in known:
            raise UsageError(f"{value!r} must be one of {', '.join(known)}.{near(value, known)}")
    ACTIONS[arguments.action](arguments, command_line.parse(arguments.words, ()))
    return 0


def _export(arguments: argparse.Namespace, given: command_line.CommandLine) -> None:
    if given.block or given.added:
        raise UsageError(f"delta export takes a key and store=DIR, not {next(iter([*given.block, *given.added]))}=….")
    store = Store(_runtime(given).store)
    key, folder = store.find(arguments.source), _target(arguments)
    from harness.sharing import delta_folder
    from harness.training import finished_model

    built = finished_model.finished(store, key, arguments.checkpoint)
    with new_folder(folder) as place:
        if arguments.format == "peft":
            delta_folder.write_to_peft(built, place)
        elif arguments.format == "merged":
            delta_folder.write_merged(built, place)
        else:
            delta_folder.write(built, place, {"key": key, "checkpoint": arguments.checkpoint})
    _print_files(folder)


def _import(arguments: argparse.Namespace, given: command_line.CommandLine) -> None:
    source, folder = _source(arguments), _target(arguments)
    if "model" not in given.block:
        raise UsageError("delta import needs the backbone that the files were trained on: add model=NAME.")
    from harness.sharing import delta_folder

    with _naming(source):
        defaults = _of_card(source, given)
    built = delta_folder.from_peft(source, _cell(given, defaults))
    with new_folder(folder) as place:
        delta_folder.write(built, place, {"peft": source.name})
    print(f"{built.cell.method.name} on {built.cell.model.name}: {dict(built.cell.method.fields)}")
    _print_files(folder)


def _score(arguments: argparse.Namespace, given: command_line.CommandLine) -> None:
    source = _source(arguments)
    from harness.sharing import delta_folder
    from harness.training import finished_model
    from harness.training.determinism import choose_device

    saved = delta_folder.described(source)
    defaults = {"model": saved.model["name"], "objective": saved.objective, "seed": saved.seed, **saved.precision}
    with _naming(source):
        defaults |= scored_task.choices(saved.task, given.block)
    built = delta_folder.load(source, _cell(given, defaults))
    if other := scored_task.other_rows(saved.task, built.cell.task):
        print(f"deltabench: {source}: {other}", file=sys.stderr)
    scores = finished_model.scores(built, choose_device(_runtime(given).device))
    if arguments.json:
        cell = {"model": built.cell.model.name, "task": built.cell.task.name, "method": built.cell.method.name}
        print(json.dumps(strict_json.finite({**cell, "scores": scores}), indent=1))
        return
    for name, figures in scores.items():
        print(f"{name:<12} " + "  ".join(f"{figure} {value:.4g}" for figure, value in figures.items()))


def _of_card(source: Path, given: command_line.CommandLine) -> dict[str, Any]:
    """Return what the card of PEFT's files says of their training; nothing where they have no card of ours."""
    try:
        card = model_card.read(source)
    except UsageError:
        return {}
    return model_card.choices(card, given.block)


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """Add the folder to an error about what it describes."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def _cell(given: command_line.CommandLine, defaults: dict[str, Any]) -> Cell:
    """Return the backbone, the task and the objective that the words name, as a cell without a method."""
    for name in [*given.block, *given.added]:
        if name.partition(".")[0] == "method":
            raise UsageError(f"{name}: the files contain their method; leave it out.")
    planned = grid.expand([{**defaults, **given.block, "method": "none"}])
    if len(planned) != 1:
        raise UsageError(f"give one model and one task; these choices are {len(planned)} cells.")
    return planned[0]


def _runtime(given: command_line.CommandLine) -> Runtime:
    return given.configure(compose.defaults()["runtime"])


def _source(arguments: argparse.Namespace) -> Path:
    folder = named(arguments.source)
    if not folder.is_dir():
        raise UsageError(f"{arguments.source}: there is no such folder.")
    return folder


def _target(arguments: argparse.Namespace) -> Path:
    if not arguments.to:
        raise UsageError(f"delta {arguments.action} needs a folder to write to: add --to FOLDER.")
    return named(arguments.to)


def _print_files(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size} bytes")


ACTIONS = {"export": _export, "import": _import, "score": _score}
