"""Run one table or figure of a paper and show it beside the paper's numbers.

deltabench reproduce delta-ranking                           scale=quick: minutes on two cores
deltabench reproduce delta-ranking scale=embedded --for 30m  stops after a time with a balanced partial table
deltabench reproduce delta-ranking task=micro/inference      only these cells; method.rank=4 sets a field
deltabench reproduce delta-ranking +method=mine model=NAME   my method in the table; another model instead
deltabench reproduce delta-ranking method=lora +method=mine  these two alone
deltabench reproduce delta-ranking --format latex            the tables alone; also csv, md, json; --open: its page
deltabench reproduce delta-ranking --dry-run                 the cells that would run, their time and their memory
deltabench reproduce delta-ranking --until-decided --for 8h  more seeds for what is undecided, up to --max-seeds
deltabench reproduce --all scale=embedded --for 8h           every exhibit that has the scale; a shared cell runs once

--until-decided judges at declared numbers of seeds, and its verdicts are adjusted for all of these looks: so it may
withdraw a verdict that a run without it gave. What it has begun is judged in this way from then on.

Exit codes are those of a sweep; with --dry-run, 0 means that it would start, and 2 that it would be refused.
The same command again resumes. Tables, figures and verdicts are written to
results/exhibits/NAME/SCALE under the current folder (or --out); settings as in `deltabench sweep --help`.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness import terminal
from harness.analysis import report
from harness.cli import all_exhibits, command_line, exhibit_output, request, seed_budget, until_decided
from harness.cli.exhibit_output import Output
from harness.config import conf_files
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.execution import rounds, sweep_plan
from harness.execution.sweep_plan import SweepOptions
from harness.experiments import exhibits, overrides
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import holes
from harness.experiments.grids.blocks import Block
from harness.experiments.rates import rate_tuning
from harness.experiments.rates.planned import Planned
from harness.experiments.rerun_command import exhibit_words
from harness.files import plain_files
from harness.forecast import device_fit, dry_run, exhibit_rows, gpu_hours
from harness.paths import located
from harness.probes import registry as probes
from harness.processes import forkserver
from harness.store import archive, identity
from harness.store.store import FINAL, Store

SETTINGS = (*command_line.SETTINGS, "scale")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench reproduce`."""
    parser.add_argument("exhibit", metavar="EXHIBIT", nargs="?", help="a name of `deltabench list exhibits`")
    parser.add_argument("--all", action="store_true", help="every exhibit that has the scale, one after the other")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to retry a cell that was killed or timed out")
    parser.add_argument("--for", dest="duration", metavar="1h30m", help="stop after this time, at most a tenth later")
    parser.add_argument(
        "--until-decided", action="store_true", help="add seeds to undecided comparisons, up to --max-seeds"
    )
    parser.add_argument("--max-seeds", metavar="N", help="with --until-decided: the most seeds (default: 30)")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and run nothing")
    parser.add_argument(
        "--device-memory", metavar="24GiB", help="with --dry-run: memory of the device to fit (default: this GPU)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for tables and figures")
    forms = ", ".join(exhibit_output.FORMS)
    parser.add_argument("--format", metavar="FORM", default=exhibit_output.TEXT, help=f"print tables as {forms}")
    parser.add_argument("--open", action="store_true", help="show its page in a browser at the end")
    request.add_arguments(parser)
    parser.add_argument("--export", action="store_true", help="also write the records, as in a reference run")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench reproduce` and return its exit code."""
    if arguments.all:
        if arguments.exhibit and ("=" in arguments.exhibit or arguments.exhibit.startswith("+")):
            arguments.words, arguments.exhibit = [arguments.exhibit, *arguments.words], None
        return all_exhibits.run(arguments, main)
    if not arguments.exhibit:
        raise UsageError("name an exhibit of `deltabench list exhibits`, or give --all for every one.")
    form = exhibit_output.TEXT if arguments.dry_run else arguments.format
    with exhibit_output.chosen(form, arguments.open) as output:
        return _reproduce(arguments, output)


def _reproduce(arguments: argparse.Namespace, output: Output) -> int:
    """Run the cells of an exhibit, show it, and return the exit code."""
    exhibit = exhibits.load(arguments.exhibit, conf_files.folders()[:-1])
    given = command_line.parse([*arguments.words, *command_line.flag("retry", arguments.retry)], SETTINGS)
    if arguments.max_seeds is not None and not arguments.until_decided:
        raise UsageError(f"--max-seeds {arguments.max_seeds}: only --until-decided adds seeds; give it too.")
    if arguments.device_memory is not None and not arguments.dry_run:
        raise UsageError(f"--device-memory {arguments.device_memory}: only --dry-run forecasts what fits; give it too.")
    memory = device_fit.wanted(arguments.device_memory) if arguments.dry_run else None
    if arguments.until_decided:
        seed_budget.check_claims(exhibit)
    if not exhibit.grids:
        return _published(exhibit)
    scale = given.settings.get("scale") or exhibit.usual_scale()
    blocks, notes = overrides.reshape(exhibit, exhibit.blocks(scale), given.block, given.added)
    exhibit = overrides.searched(exhibit, blocks)
    most = seed_budget.most_seeds(exhibit, blocks, arguments.max_seeds) if arguments.until_decided else None
    unprobed = None if exhibit.probe_trials else exhibit.tuning_seeds()
    options = request.read(given, arguments.skip_impossible, exhibit.probes, unprobed)
    deadline_s = command_line.seconds(arguments.duration) if arguments.duration else None
    selection = exhibit_words(given.block, given.added)
    folder = _folder(arguments.out, exhibit, overrides.label(scale, given.block, given.added))
    _check_same(folder, exhibit, scale, selection)
    store = Store(options.runtime.store)
    print("".join(f"{line}\n" for line in scale_notice(exhibit, scale, given.settings)), end="")
    planned = rate_tuning.expand(blocks, store, holes=True, spent=())
    cells = len(planned.cells) + planned.waiting
    try:
        holes.check(planned.holes, cells, options.skip_impossible)
    except UsageError as error:
        if arguments.dry_run and holes.lack_rows(error, planned.holes):
            print(f"{dry_run.without_rows(exhibit.name, gpu_hours.cells_of(blocks))}\nresults: {folder}")
        raise
    print("".join(f"{line}\n" for line in notes), end="")
    if exhibit.forecast:
        return _forecast(exhibit, scale, planned.cells, folder, arguments.dry_run, output)
    if arguments.dry_run:
        decided = sweep_plan.decide(store, planned.now, options, planned.holes)
        print(dry_run.exhibit(exhibit, scale, blocks, store, decided, planned, folder))
        if most is not None:
            print("\n".join(seed_budget.dry_run(exhibit, blocks, store, options, most, planned.cells)))
        if memory:
            print(device_fit.text(planned.cells, device_fit.forecasts(planned.cells, memory), memory))
        return 0
    name = until_decided.grid_name(exhibit, scale, given)
    options = replace(options, name=name, role=exhibit.sets, deadline_s=deadline_s, seconds=dry_run.seconds(store))
    planned_cells, code = _run(exhibit, blocks, planned, store, options, most)
    if most is None and until_decided.before(store, name):
        most = seed_budget.most_seeds(exhibit, blocks, None)
    present(exhibit, scale, planned_cells, store, folder, selection, most, output)
    if arguments.export:
        count = archive.archive(store, (identity.key(cell) for cell in planned_cells), folder / archive.ARCHIVE)
        print(f"{count} records: {folder / archive.ARCHIVE}")
    return code


def _run(
    exhibit: Exhibit, blocks: Sequence[Block], planned: Planned, store: Store, options: SweepOptions, most: int | None
) -> tuple[list[Cell], int]:
    """Run the planned cells and, with at most `most` seeds, further ones until the exhibit is decided.

    Return all cells that the exhibit has then, and the exit code.
    """
    started = time.monotonic()
    if most is not None:
        seed_budget.check_time(store, exhibit, planned.cells, options.deadline_s)
    ran = any(store.status(identity.key(cell)) not in FINAL for cell in planned.cells)
    if ran:  # the server's imports take seconds of one core, and so do the report's
        forkserver.begin(forkserver.preload(cell.model.family for cell in planned.cells))
        report.load(exhibit)
    code, planned = rounds.run(planned, blocks, options)
    if most is not None and code != rounds.STOPPED:
        deadline = None if options.deadline_s is None else started + options.deadline_s
        loop = until_decided.Loop(exhibit, blocks, store, options, most, deadline)
        return until_decided.run(loop, planned.cells, code, ran)
    if most is not None or until_decided.before(store, options.name):
        return until_decided.with_present(exhibit, blocks, store, planned.cells), code
    return planned.cells, code


def _published(exhibit: Exhibit) -> int:
    """Print the paper's numbers of an exhibit that cannot be run here. Return 0."""
    from harness.analysis.views import published

    report.show_tables([published.alone(exhibit)], terminal.console(width=None if sys.stdout.isatty() else 160))
    print(f"{exhibit.title}: published numbers only; nothing runs here.")
    return 0


def _forecast(
    exhibit: Exhibit, scale: str, planned_cells: Sequence[Cell], folder: Path, dry_run: bool, output: Output
) -> int:
    """Write and show an exhibit of forecasts; on a GPU one step of each cell runs. Return the exit code."""
    if dry_run:
        print(f"{len(planned_cells)} cells to forecast, a second or two each; nothing is trained\nresults: {folder}")
        return 0
    rows = exhibit_rows.rows(exhibit, planned_cells)
    exhibit_rows.save(folder, rows)
    report.render(exhibit, scale, rows, folder)
    output.show(folder, exhibit)
    return int(any(row["forecast"] is None for row in rows))


def scale_notice(exhibit: Exhibit, scale: str, settings: Mapping[str, str]) -> list[str]:
    """Return a line where no scale was given and the exhibit has no quick scale, because the run is then large."""
    if "scale" in settings or exhibits.USUAL in exhibit.grids:
        return []
    others = [name for name in exhibit.grids if name != scale]
    listed = f" (also: {', '.join(others)})" if others else ""
    return [
        f"{exhibit.name} has no scale={exhibits.USUAL}: this is scale={scale}{listed}; "
        "--dry-run shows what it would run"
    ]


def present(
    exhibit: Exhibit,
    scale: str,
    planned_cells: Sequence[Cell],
    store: Store,
    folder: Path,
    words: str = "",
    most: int | None = None,
    output: Output | None = None,
) -> None:
    """Write the tables and figures of the finished cells, unless they are up to date, and show them.

    words: the selection, as the page's own command names it. most: the most seeds of an exhibit that gets seeds until
    it is decided, which is judged over several looks. output: how it is shown, as text where none is given.
    """
    keys = [identity.key(cell) for cell in planned_cells]
    summaries = {key: store.summary(key) for key in keys}
    attempts = [f"{key} {summary['attempt']} {summary['status']}" for key, summary in summaries.items() if summary]
    if not any(summary and summary["status"] == "done" for summary in summaries.values()):
        print("no cell has finished, so there is nothing to show yet.")
        return
    stale = [f"{key} is stale" for key, summary in summaries.items() if summary and store.is_stale(key, summary)]
    planned_looks = [] if most is None else [f"looks up to {most} seeds"]
    others = [*attempts, *stale, *planned_looks, *probes.stamps(store, keys, exhibit.probes)]
    inputs = report.digest(exhibit, scale, [words, *others])
    if not report.current(folder, inputs):
        report.render(exhibit, scale, archive.from_store(store, keys), folder, inputs, words, most=most)
    (output or Output(exhibit_output.TEXT, sys.stdout)).show(folder, exhibit, store, keys)


def _folder(out: str | None, exhibit: Exhibit, label: str) -> Path:
    folder = located(out) if out else Path("results") / "exhibits" / exhibit.name / label
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: this is a file, not a folder.")
    return folder


def _check_same(folder: Path, exhibit: Exhibit, scale: str, words: str) -> None:
    """Raise UsageError where the folder holds the tables of another exhibit, scale or selection.

    The folder of YAML that a selection was read with makes it no other one.
    """
    try:
        index = plain_files.read_json(folder / report.INDEX)
        name, held_scale, held_words = index["exhibit"], index["scale"], str(index.get("words") or "")
    except (OSError, ValueError, KeyError, TypeError):
        return
    chosen, held_chosen = (text.partition("--config-dir")[0].strip() for text in (words, held_words))
    if (name, held_scale, held_chosen) != (exhibit.name, scale, chosen):
        what = f"{name} scale={held_scale} {held_words}".strip()
        raise UsageError(f"{folder}: it holds the tables of `{what}`; name another folder with --out.")
