"""List every claim that the exhibits test, with the verdicts of our reference runs and of your own.

deltabench claims                                all claims, by paper
deltabench claims --paper ding2022               those of one paper; "own" for those of this project
deltabench claims --verdict contradicted         those with such a verdict on some model
deltabench claims --exhibit dora-table15 --json  those of one exhibit, with every comparison, interval and cell

Your own runs are read from results/exhibits under the current folder. A claim that no run has judged is untested; the
command below it shows what its cells would cost.
"""

import argparse
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness import formatting, terminal
from harness.analysis import claim_findings
from harness.analysis.claim_findings import Judged, Stated
from harness.cli import fitting
from harness.config import conf_files
from harness.errors import UsageError, near
from harness.experiments import exhibits
from harness.experiments.verdict import VERDICTS
from harness.files import strict_json

HERE = Path("results") / "exhibits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench claims`."""
    parser.add_argument("--paper", metavar="ding2022", help="only the claims of this paper")
    parser.add_argument("--verdict", metavar="WORD", help=f"only claims with this verdict: {', '.join(VERDICTS)}")
    parser.add_argument("--exhibit", metavar="NAME", help="only the claims of this exhibit")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench claims` and return its exit code."""
    folders = conf_files.folders()[:-1]
    names = exhibits.names(folders)
    _check("--exhibit", arguments.exhibit, names)
    chosen = [arguments.exhibit] if arguments.exhibit else names
    rows = list(claim_findings.stated([exhibits.load(name, folders) for name in chosen], HERE))
    _check("--paper", arguments.paper, {paper for row in rows for paper in row.papers})
    _check("--verdict", arguments.verdict, VERDICTS)
    rows = [row for row in rows if _wanted(row, arguments)]
    if arguments.json:
        print(json.dumps(strict_json.finite(claim_findings.to_json(rows)), ensure_ascii=False, indent=1))
        return 0
    print("\n".join(_lines(rows, terminal.width())))
    return 0


def _check(option: str, given: str | None, known: Collection[str]) -> None:
    """Raise UsageError for a value that names nothing."""
    if given is not None and given not in known:
        raise UsageError(f"{option} {given}: no claim has it.{near(given, sorted(known))}")


def _wanted(row: Stated, arguments: argparse.Namespace) -> bool:
    return (
        arguments.paper in (None, *row.papers)
        and arguments.exhibit in (None, row.exhibit.name)
        and arguments.verdict in (None, *row.verdicts())
    )


def _lines(rows: Sequence[Stated], width: int | None) -> Iterator[str]:
    """Yield the claims by paper, and a line that counts the verdicts."""
    for paper in sorted({paper for row in rows for paper in row.papers}):
        yield paper
        for row in rows:
            if paper == row.papers[0]:
                yield from _of_claim(row, width)
        yield ""
    counts = Counter(verdict for row in rows for verdict in row.verdicts())
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    yield from fitting.sentence(f"{formatting.count(len(rows), 'claim')}; verdicts: {verdicts or 'none'}", width)


def _of_claim(row: Stated, width: int | None) -> Iterator[str]:
    """Yield a claim, what is estimated, and a line for each finding."""
    claim = row.claim
    margin = formatting.value(row.judged[0].content["margin"] if row.judged else row.margin)
    stated = f"{claim.sentence} [{row.exhibit.name}: {claim.name}]"
    yield from _indented(stated, 2, width)
    yield from _indented(f"estimated: {claim.estimand}; margin {margin} ({claim.why})", 4, width)
    if not row.judged:
        yield from _indented(f"untested: `{row.command}` shows its cells, their hours and their memory", 4, width)
    for finding in row.judged:
        yield from _indented(f"{finding.verdict}, {_where(finding)}: {finding.evidence}", 4, width)


def _where(finding: Judged) -> str:
    """Return the model of a finding, and its run where it is not our reference run."""
    run = "" if finding.run == claim_findings.REFERENCE else f" ({finding.run})"
    return f"{finding.model}{run}"


def _indented(text: str, margin: int, width: int | None) -> Iterator[str]:
    for line in fitting.sentence(text, width and width - margin):
        yield f"{' ' * margin}{line}"
