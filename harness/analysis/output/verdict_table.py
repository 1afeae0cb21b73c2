"""The table of verdicts: every comparison behind the claims of an exhibit."""

from collections.abc import Sequence

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study import findings
from harness.analysis.study.more_seeds import looks, power
from harness.experiments import claims
from harness.experiments.verdict import Comparison, Finding

SEEDS = "seeds it would take"


def verdicts(findings: Sequence[Finding], model: str) -> Table:
    """Return every comparison behind the claims on one model: estimate, interval, p, verdict, required seeds."""
    rows = [(word(finding.claim), *_compared(row, finding)) for finding in findings for row in finding.comparisons]
    bare = [finding for finding in findings if not finding.comparisons]
    rows += [(word(finding.claim), *map(word, (*[MISSING] * 4, finding.verdict, *[MISSING] * 2))) for finding in bare]
    columns = ("claim", "comparison", "estimate", "interval", "p (Holm)", "verdict", "over seeds alone", SEEDS)
    notes = [
        f"{finding.claim}: {finding.estimand}; margin {finding.margin:g} ({finding.scale}), {_why(finding)}"
        for finding in findings
    ]
    notes += [f"{finding.claim}: {note}" for finding in findings for note in finding.notes]
    compared = [row for finding in findings for row in finding.comparisons]
    if any(row.seeds_verdict for row in compared):
        notes.append(
            "interval, p and verdict: for new seeds and new test rows; row error: of the rows' own differences where "
            "it is known what each row scored, else an upper bound that takes the methods' answers for independent; "
            "over seeds alone: with these test rows fixed"
        )
    if any(row.look is not None for row in compared):
        notes.append(looks.note())
    if any(row.seeds or row.rows for row in compared):
        notes.append(
            f"{SEEDS}: to decide with {power.POWER:.0%} probability, if the estimate is right, at the level that Holm "
            "leaves to the undecided comparisons; in brackets: for the two ends of the 80 % interval of the spread"
        )
    return Table("verdicts", "Comparisons behind the claims", model, columns, tuple(rows), tuple(dict.fromkeys(notes)))


def _why(finding: Finding) -> str:
    """Return the reason for the margin: the claim's, or that the exhibit sets another margin."""
    claim = claims.find(finding.claim)
    return claim.why if finding.margin == claim.margin else "the exhibit's own"


def _compared(row: Comparison, finding: Finding) -> tuple[Entry, ...]:
    form = ".3f"
    if row.estimate is None:
        estimate, interval = Entry(MISSING), Entry(row.reason)
    else:
        form = _form(row.estimate, row.low, row.high)
        estimate = Entry(format(row.estimate, form), row.estimate, row.low, row.high, row.keys)
        interval = word(MISSING if row.low is None else f"[{row.low:{form}}, {row.high:{form}}]")
    p = Entry(MISSING if row.p is None else f"{row.p:.3f}" if row.p >= 0.001 else "<0.001", row.p)
    seeds = word(findings.needed(row) if row.verdict == "inconclusive" and not row.reason else MISSING)
    alone = MISSING
    if row.seeds_verdict and row.seeds_low is not None:
        alone = f"[{row.seeds_low:{form}}, {row.seeds_high:{form}}] {row.seeds_verdict}"
    verdict = row.verdict if not row.look else f"{row.verdict} (look {row.look})"
    verdict = f"{verdict}: {row.reason}" if row.reason and row.estimate is not None else verdict
    return word(f"{row.left} {row.relation} {row.right}"), estimate, interval, p, word(verdict), word(alone), seeds


def _form(*values: float | None) -> str:
    """Return the format: three decimals, or two digits where the values are too small, as differences of
    variances are.
    """
    return ".3f" if max(abs(value) for value in values if value is not None) >= 0.01 else ".2g"
