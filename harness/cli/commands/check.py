"""Compare my rerun with the committed reference and with the paper.

deltabench check delta-ranking [scale=embedded] [store=DIR]

The command compares the mean scores of my records with those of our reference run, per method, task and learning
rate, and the verdicts on the paper's claims. The exit code is 0 where they agree. It is 1 where a group differs beyond
its interval, or where a claim is reproduced by one run and contradicted by the other. Without a reference it is 1 where
a claim is contradicted. Forecasts of memory are computed again; the exit code is 1 where one differs by more than 1 %.
"""

import argparse
from collections.abc import Sequence

from harness import assets, terminal
from harness.analysis import report
from harness.analysis.output import table
from harness.analysis.study import study
from harness.analysis.views import agreement
from harness.cli import arguments as words
from harness.cli.commands.reproduce import SETTINGS
from harness.config import compose, conf_files, launchers
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments import exhibits, grid, overrides, rate_tuning
from harness.experiments.exhibits import Exhibit
from harness.experiments.rerun_command import exhibit_words
from harness.experiments.verdict import Finding
from harness.forecast import exhibit_rows
from harness.store import archive, identity
from harness.store.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench check`."""
    parser.add_argument("exhibit", metavar="EXHIBIT", help="a name of `deltabench list exhibits`")
    parser.add_argument("words", nargs="*", metavar="key=value")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench check` and return its exit code."""
    exhibit = exhibits.load(arguments.exhibit, conf_files.folders()[:-1])
    given = words.parse(arguments.words, SETTINGS)
    launchers.choose(given.settings, here=False)
    scale = given.settings.get("scale") or exhibit.usual_scale()
    blocks, _ = overrides.reshape(exhibit, exhibit.blocks(scale), given.block, given.added)
    if exhibit.forecast:
        return _forecasts(exhibit, grid.expand(blocks))
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    keys = [identity.key(cell) for cell in rate_tuning.expand(blocks, store).cells]
    mine = archive.from_store(store, keys)
    selection = exhibit_words(given.block, given.added)
    if not any(run.record["status"] == "done" for run in mine):
        raise UsageError(
            f"no finished cell of {exhibit.name} at scale {scale} in the store {store.path}: "
            f"`deltabench reproduce {exhibit.name} scale={scale} {selection}".rstrip()
            + "` runs them."
        )
    found = findings(exhibit, mine)
    path = archive.reference(exhibit.cells_of)
    if not path.is_file():
        print(f"{exhibit.name} has no reference run; compared with the paper alone.")
        return _print_findings(found) or int(any(one.verdict == "contradicted" for one in found))
    return _compare(exhibit, mine, archive.from_archive(path), found)


def _forecasts(exhibit: Exhibit, found: Sequence[Cell]) -> int:
    """Compute the forecasts of an exhibit again and compare them with the reference. Return the exit code."""
    reference = exhibit_rows.load(assets.reference() / exhibit.name)
    mine = exhibit_rows.rows(exhibit, found)
    lines = exhibit_rows.differing(mine, reference)
    print("".join(f"{line}\n" for line in lines), end="")
    print(f"{len(mine)} forecasts, {len(lines)} differ from the reference")
    return int(bool(lines))


def findings(exhibit: Exhibit, runs: Sequence[archive.Run]) -> list[Finding]:
    """Return the verdict on each claim of an exhibit, for each model."""
    return [found for one in study.studies(exhibit, runs) for found in report.judge(exhibit, one)]


def _compare(
    exhibit: Exhibit, mine: Sequence[archive.Run], reference: Sequence[archive.Run], found: Sequence[Finding]
) -> int:
    """Print how the records and the verdicts differ from the reference. Return the exit code."""
    compared = agreement.groups(mine, reference, exhibit.sets)
    console = terminal.console()
    for model in dict.fromkeys(group.place[0] for group in compared):
        made = agreement.table(compared, model)
        console.print(f"{made.title}: {model}", markup=False)
        console.print(table.to_rich(made))
    counts = {word: sum(group.verdict == word for group in compared) for word in VERDICTS}
    summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    print(f"{len(compared)} groups in both: {summary or 'none to compare'}")
    flips = agreement.flipped(found, findings(exhibit, reference))
    _print_findings(found)
    for ours, theirs in flips:
        print(f"{ours.model}: {ours.claim}: {ours.verdict} here, {theirs.verdict} by the reference")
    return int(bool(flips) or counts["differs"] > 0)


VERDICTS = ("same", "agrees", "differs", "cannot tell")


def _print_findings(found: Sequence[Finding]) -> int:
    for one in found:
        print(f"{one.model}: {one.sentence}")
    return 0
