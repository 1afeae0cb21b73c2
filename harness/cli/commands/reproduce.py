"""Run one table or figure of a paper and show it beside what the paper says.

deltabench reproduce delta-ranking                           scale=quick: minutes on two cores
deltabench reproduce delta-ranking scale=embedded --for 30m  stops after a time with a balanced partial table
deltabench reproduce delta-ranking task=micro/qa             only these cells; method.rank=4 sets a field
deltabench reproduce delta-ranking +method=mine model=NAME   my method in the table; another model instead
deltabench reproduce delta-ranking --dry-run                 what would run, how long it takes and what memory

The same command again goes on where it stopped. Tables, figures and verdicts are written to
results/exhibits/NAME/SCALE under the current folder (or --out); settings as in `deltabench sweep --help`.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from harness import terminal
from harness.analysis import report
from harness.cli import arguments as words
from harness.config import compose, conf_files, launchers
from harness.config.schema import Cell
from harness.errors import RowsAbsent, UsageError
from harness.execution import sweep
from harness.experiments import exhibits, overrides, rate_tuning
from harness.experiments.exhibits import Exhibit
from harness.forecast import device_fit, dry_run, exhibit_rows
from harness.paths import located
from harness.probes import registry as probes
from harness.store import archive, identity, requested_grids
from harness.store.store import Store

SETTINGS = (*words.SETTINGS, "scale")
DEFAULT = "quick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("exhibit", metavar="EXHIBIT", help="a name of `deltabench list exhibits`")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--retry", metavar="N", help="how often to try a cell again that was killed or out of time")
    parser.add_argument("--for", dest="duration", metavar="30m", help="start no further cell after this time")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, run nothing")
    parser.add_argument("--device-memory", metavar="24GiB", help="with --dry-run: what of it fits (default: this GPU)")
    parser.add_argument("--out", metavar="DIR", help="where tables and figures go")
    parser.add_argument("--export", action="store_true", help="write the records there too (a reference run)")


def main(arguments: argparse.Namespace) -> int:
    exhibit = exhibits.load(arguments.exhibit, conf_files.folders()[:-1])
    said = words.parse([*arguments.words, *words.flag("retry", arguments.retry)], SETTINGS)
    if not exhibit.grids:
        return _published(exhibit)
    scale = said.settings.get("scale") or scale_of(exhibit)
    blocks, told = overrides.reshape(exhibit, exhibit.blocks(scale), said.block, said.added)
    runtime = probes.asked(said.configure(compose.defaults()["runtime"]), exhibit.probes)
    jobs = words.count("jobs", said.settings.get("jobs"))
    deadline_s = words.seconds(arguments.duration) if arguments.duration else None
    added = {f"+{name}": values for name, values in said.added.items()}
    typed = " ".join(filter(None, (requested_grids.name_of(said.block), requested_grids.name_of(added))))
    folder = _folder(arguments.out, exhibit, overrides.label(scale, said.block, said.added))
    store = Store(runtime.store)
    print("".join(f"{line}\n" for line in unsaid(exhibit, scale, said.settings)), end="")
    try:
        planned = rate_tuning.expand(blocks, store)
    except RowsAbsent as error:
        if not arguments.dry_run:
            raise
        print(dry_run.without_rows(exhibit, blocks, error, folder))
        return 0
    print("".join(f"{line}\n" for line in told), end="")
    if exhibit.forecast:
        return _forecast(exhibit, scale, planned.cells, folder, arguments.dry_run)
    if arguments.dry_run:
        print(dry_run.plan(exhibit, scale, blocks, planned, runtime, jobs, folder))
        if memory := device_fit.wanted(arguments.device_memory):
            print(device_fit.text(planned.cells, device_fit.forecasts(planned.cells, memory), memory))
        return 0
    rerun = said.settings["rerun"].split(",") if "rerun" in said.settings else ()
    name = " ".join(filter(None, (exhibit.name, f"scale={scale}", typed)))
    chosen = launchers.choose(said.settings)
    drain = partial(sweep.drain, runtime=runtime, launcher=chosen, jobs=jobs, rerun=rerun, name=name)
    drain = partial(drain, unprobed=exhibit.tuning_seeds())  # what stands in no table is not measured further
    started = time.monotonic()
    code = drain(planned.cells, deadline_s=deadline_s)
    if planned.waiting and not (planned := rate_tuning.expand(blocks, store)).waiting:
        print("the learning rates are chosen; now the seeds that are reported")
        left = None if deadline_s is None else max(0.0, deadline_s - (time.monotonic() - started))
        code = drain(planned.cells, deadline_s=left)
    found = planned.cells
    present(exhibit, scale, found, store, folder, typed)
    if arguments.export:
        count = archive.archive(store, (identity.key(cell) for cell in found), folder / archive.ARCHIVE)
        print(f"{count} records: {folder / archive.ARCHIVE}")
    return code


def _published(exhibit: Exhibit) -> int:
    """What the paper prints, where nothing here can run it."""
    from harness.analysis.views import suite

    report.show_tables([suite.as_published(exhibit)], terminal.console(width=None if sys.stdout.isatty() else 160))
    print(f"{exhibit.title}: published numbers only, nothing of it is run here.")
    return 0


def _forecast(exhibit: Exhibit, scale: str, found: Sequence[Cell], folder: Path, dry_run: bool) -> int:
    """An exhibit of forecasts: nothing runs, except on a GPU one step of each cell."""
    if dry_run:
        print(f"{len(found)} cells to forecast, a second or two each; nothing is trained\nresults: {folder}")
        return 0
    rows = exhibit_rows.rows(exhibit, found)
    exhibit_rows.save(folder, rows)
    report.render(exhibit, scale, rows, folder)
    report.show(folder, terminal.console(width=None if sys.stdout.isatty() else 160))
    return int(any(row["forecast"] is None for row in rows))


def scale_of(exhibit: Exhibit) -> str:
    """The scale that is meant when none is said."""
    return DEFAULT if DEFAULT in exhibit.grids else next(iter(exhibit.grids))


def unsaid(exhibit: Exhibit, scale: str, settings: Mapping[str, str]) -> list[str]:
    """A line where nobody chose the scale and there is none of minutes: what comes is larger than one may think."""
    if "scale" in settings or DEFAULT in exhibit.grids:
        return []
    others = [name for name in exhibit.grids if name != scale]
    listed = f" (there is {', '.join(others)} too)" if others else ""
    return [f"{exhibit.name} has no scale={DEFAULT}: this is scale={scale}{listed}; --dry-run tells what it would run"]


def present(exhibit: Exhibit, scale: str, found: Sequence[Cell], store: Store, folder: Path, typed: str = "") -> None:
    """Render what is done, unless the folder already shows exactly that, and show it in the terminal."""
    keys = [identity.key(cell) for cell in found]
    summaries = {key: store.summary(key) for key in keys}
    attempts = [f"{key} {one['attempt']} {one['status']}" for key, one in summaries.items() if one]
    if not any(one and one["status"] == "done" for one in summaries.values()):
        print("no cell has finished, so there is nothing to show yet.")
        return
    inputs = report.digest(exhibit, scale, [typed, *attempts, *probes.stamps(store, keys, exhibit.probes)])
    if not report.current(folder, inputs):
        report.render(exhibit, scale, archive.from_store(store, keys), folder, inputs, typed)
    # A pipe or a file has no width of its own: 80 columns would cut the headings.
    report.show(folder, terminal.console(width=None if sys.stdout.isatty() else 160))


def _folder(out: str | None, exhibit: Exhibit, label: str) -> Path:
    folder = located(out) if out else Path("results") / "exhibits" / exhibit.name / label
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: this is a file, not a folder.")
    return folder
