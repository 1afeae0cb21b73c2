"""Compare my run with the committed reference and with the paper, or two code versions with each other.

deltabench check delta-ranking [scale=embedded] [store=DIR]     my store with our reference run
deltabench check delta-ranking --against DIR                    my store with another store, made by other code

The command compares mean scores per method, task and learning rate, with intervals over seeds, and the verdicts on the
paper's claims. It states how much of the reference was compared, the size of a difference that would not show, and
whether each side is current or stale, with the reason. The exit code is 0 where both agree. It is 1 where a group
differs beyond its interval, or where a claim is reproduced by one run and contradicted by the other. Without a
reference it is 1 where a claim is contradicted. Forecasts of memory are computed again; the exit code is 1 where one
differs by more than 1 %.

As JSON: {"exhibit", "scale", "mine", "other": null or {"name", "path", "cells", "commits", "state", "stale": {reason:
cells}}, "compared": {"groups": [those in both, all of the other's], "cells": the same}, "counts": {verdict: groups},
"groups": [{"model", "arm", "task", "set", "learning_rate", "mine", "reference", "seeds", "low", "high", "tolerance",
"p", "verdict", "keys"}], "findings", "flipped": [{"model", "claim", "mine", "other"}], "exit_code"}; scores are shares
of 1. For forecasts: {"exhibit", "forecasts", "differ", "exit_code"}.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import assets, terminal
from harness.analysis import agreement, judging, report
from harness.analysis.agreement import Compared
from harness.analysis.output import proofs, table
from harness.analysis.study import study
from harness.cli import cell_choice, command_line, until_decided
from harness.cli.commands.reproduce import SETTINGS
from harness.config import compose, conf_files, launchers
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.experiments import exhibits, overrides
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import grid
from harness.experiments.grids.blocks import Block
from harness.experiments.rerun_command import exhibit_words
from harness.experiments.verdict import Finding
from harness.files import plain_files, strict_json
from harness.forecast import exhibit_rows
from harness.paths import located
from harness.store import archive, identity, requested_grids
from harness.store.store import Store

UNKNOWN = "an unknown commit"


@dataclass(frozen=True)
class Chosen:
    """What the command line chooses of an exhibit.

    grid_name: under which a store notes the cells. selection: the words after the exhibit's name in the command that
    runs them.
    """

    exhibit: Exhibit
    blocks: Sequence[Block]
    grid_name: str
    selection: str


@dataclass(frozen=True)
class Side:
    """One of the two runs that are compared.

    stale: key -> reason, for its finished cells by other code than today's. over_looks: whether seeds were added until
    it was decided, so that its claims are judged over several looks.
    """

    name: str
    path: Path
    runs: Sequence[archive.Run]
    stale: dict[str, str]
    over_looks: bool = False

    @property
    def done(self) -> list[archive.Run]:
        """Return its finished cells."""
        return [run for run in self.runs if run.record["status"] == "done"]

    def commits(self) -> dict[str, int]:
        """Return commit -> finished cells that it made."""
        made = [run.record.get("provenance") or {} for run in self.done]
        return dict(Counter(map(_commit, made)))

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return {
            "name": self.name,
            "path": str(self.path),
            "cells": len(self.done),
            "commits": self.commits(),
            "state": "stale" if self.stale else "current",
            "stale": dict(Counter(self.stale.values())),
        }

    def line(self) -> str:
        """Return one line: by which commits it was made, and whether it is current."""
        commits = [name if name.startswith(UNKNOWN) else f"{name[:7]}{name[40:]}" for name in self.commits()]
        by = f"by {', '.join(commits[:3])}{' …' if len(commits) > 3 else ''}"
        if not self.stale:
            return f"{self.name}: current; {len(self.done)} cells {by}"
        reasons = "; ".join(f"{why} ({n} cells)" for why, n in Counter(self.stale.values()).most_common(3))
        return f"{self.name}: stale; {len(self.stale)} of {len(self.done)} cells {by}: {reasons}"


def _commit(made: Mapping[str, Any]) -> str:
    changes = " with uncommitted changes" if made.get("git_changed") is True else ""
    return f"{made.get('git') or UNKNOWN}{changes}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench check`."""
    parser.add_argument("exhibit", metavar="EXHIBIT", help="a name of `deltabench list exhibits`")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--against", metavar="DIR", help="compare with this store instead of the reference run")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench check` and return its exit code."""
    exhibit = exhibits.load(arguments.exhibit, conf_files.folders()[:-1])
    given = command_line.parse(arguments.words, SETTINGS)
    launchers.choose(given.settings, here=False)
    scale = given.settings.get("scale") or exhibit.usual_scale()
    blocks, _ = overrides.reshape(exhibit, exhibit.blocks(scale), given.block, given.added)
    exhibit = overrides.searched(exhibit, blocks)
    if exhibit.forecast:
        if arguments.against:
            raise UsageError(f"--against: {exhibit.name} is of forecasts, which are compared with the reference alone.")
        return _forecasts(exhibit, grid.expand(blocks), arguments.json)
    selection = f"scale={scale} {exhibit_words(given.block, given.added)}".rstrip()
    chosen = Chosen(exhibit, blocks, until_decided.grid_name(exhibit, scale, given), selection)
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    if "store" in given.runtime:  # without the word, the refusal names the command that runs the cells
        store.check_present()
    mine = _stored("mine", store, chosen)
    other = _other(arguments.against, chosen)
    verdicts = findings(exhibit, mine)
    compared = agreement.compare(mine.runs, other.runs, exhibit.sets) if other else None
    flips = agreement.flipped(verdicts, findings(exhibit, other)) if other else []
    differs = any(group.verdict == "differs" for group in compared.groups) if compared else False
    contradicted = other is None and any(finding.verdict == "contradicted" for finding in verdicts)
    code = int(bool(flips) or differs or contradicted)
    if arguments.json:
        print(_json(exhibit, scale, (mine, other), compared, verdicts, flips, code))
    else:
        _print(exhibit, (mine, other), compared, verdicts, flips)
    return code


def _stored(name: str, store: Store, chosen: Chosen) -> Side:
    """Return the cells of a store. Raise UsageError where none has finished."""
    exhibit = chosen.exhibit
    cells, gaps = cell_choice.possible(chosen.blocks, store)
    over_looks = until_decided.before(store, chosen.grid_name)
    cells = until_decided.with_present(exhibit, chosen.blocks, store, cells) if over_looks else cells
    runs = archive.from_store(store, [identity.key(cell) for cell in cells])
    if not any(run.record["status"] == "done" for run in runs):
        raise UsageError(
            f"no finished cell of {exhibit.name} with {chosen.selection} in the store {store.path}: "
            f"`deltabench reproduce {exhibit.name} {chosen.selection}` runs them.{_other_scales(store, chosen)}"
        )
    cell_choice.name_gaps(gaps)  # once there is something to check: an error is one sentence
    return Side(name, store.path, runs, proofs.stale(runs), over_looks)


def _other_scales(store: Store, chosen: Chosen) -> str:
    """Return a sentence on the selections of the exhibit that were noted in a store; "" for none."""
    beginning = f"{chosen.exhibit.name} "
    names = [grid.name for grid in requested_grids.noted(store) if grid.name.startswith(beginning)]
    others = dict.fromkeys(
        name.removeprefix(beginning).removesuffix(f" {requested_grids.UNTIL_DECIDED}") for name in names
    )
    return f" The store has it with {' and '.join(others)}." if others else ""


def _other(against: str | None, chosen: Chosen) -> Side | None:
    """Return what my run is compared with; None where there is no reference run."""
    if against is not None:
        store = Store(located(against))
        store.check_present()
        return _stored("other", store, chosen)
    path = archive.reference(chosen.exhibit.cells_of)
    if not path.is_file():
        return None
    runs = archive.from_archive(path)
    index = path.parent / report.INDEX
    over_looks = index.is_file() and "looks" in plain_files.read_json(index)
    return Side("reference", path, runs, proofs.stale(runs, proofs.load(path.parent)), over_looks)


def _forecasts(exhibit: Exhibit, cells: Sequence[Cell], as_json: bool) -> int:
    """Compute the forecasts of an exhibit again and compare them with the reference. Return the exit code."""
    reference = exhibit_rows.load(assets.reference() / exhibit.name)
    mine = exhibit_rows.rows(exhibit, cells)
    lines = exhibit_rows.differing(mine, reference)
    if as_json:
        content = {"exhibit": exhibit.name, "forecasts": len(mine), "differ": lines, "exit_code": int(bool(lines))}
        print(json.dumps(content, ensure_ascii=False, indent=1))
        return int(bool(lines))
    print("".join(f"{line}\n" for line in lines), end="")
    print(f"{len(mine)} forecasts, {len(lines)} differ from the reference")
    return int(bool(lines))


def findings(exhibit: Exhibit, side: Side) -> list[Finding]:
    """Return the verdict on each claim of an exhibit, for each model."""
    return judging.judge_all(exhibit, study.studies(exhibit, side.runs), side.over_looks)


Flips = Sequence[tuple[Finding, Finding]]
Sides = tuple[Side, Side | None]
VERDICTS = ("same", "agrees", "differs", "cannot tell")


def counts(compared: Compared) -> dict[str, int]:
    """Return verdict -> groups that have it."""
    return {word: sum(group.verdict == word for group in compared.groups) for word in VERDICTS}


def _print(
    exhibit: Exhibit, sides: Sides, compared: Compared | None, verdicts: Sequence[Finding], flips: Flips
) -> None:
    """Print how the records and the verdicts differ."""
    mine, other = sides
    if other is None or compared is None:
        print(f"{exhibit.name} has no reference run; compared with the paper alone.")
        print(mine.line())
        _print_findings(verdicts)
        return
    console = terminal.console()
    for model in dict.fromkeys(group.place[0] for group in compared.groups):
        made = agreement.table(compared.groups, model, other.name)
        console.print(f"{made.title}: {model}", markup=False)
        console.print(table.to_rich(made))
        console.print("".join(f"  {note}\n" for note in made.notes), markup=False)
    summary = ", ".join(f"{count} {word}" for word, count in counts(compared).items() if count)
    print(f"{len(compared.groups)} groups in both: {summary or 'none to compare'}")
    lines = (compared.coverage(other.name), compared.sensitivity(), mine.line(), other.line())
    print("".join(f"{line}\n" for line in lines if line), end="")
    _print_findings(verdicts)
    for ours, theirs in flips:
        print(f"{ours.model}: {ours.claim}: {ours.verdict} here, {theirs.verdict} by the {other.name}")


def _json(
    exhibit: Exhibit,
    scale: str,
    sides: Sides,
    compared: Compared | None,
    verdicts: Sequence[Finding],
    flips: Flips,
    code: int,
) -> str:
    mine, other = sides
    content = {
        "exhibit": exhibit.name,
        "scale": scale,
        "mine": mine.to_json(),
        "other": other.to_json() if other else None,
        "compared": {"groups": compared.places, "cells": compared.cells} if compared else None,
        "counts": counts(compared) if compared else {},
        "groups": [agreement.to_json(group) for group in compared.groups] if compared else [],
        "findings": [report.plain(finding) for finding in verdicts],
        "flipped": [
            {"model": ours.model, "claim": ours.claim, "mine": ours.verdict, "other": theirs.verdict}
            for ours, theirs in flips
        ],
        "exit_code": code,
    }
    return json.dumps(strict_json.finite(content), ensure_ascii=False, indent=1)


def _print_findings(verdicts: Sequence[Finding]) -> None:
    for finding in verdicts:
        print(f"{finding.model}: {finding.sentence}")
