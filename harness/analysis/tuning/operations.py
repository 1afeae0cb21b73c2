"""The operations of a training step of each arm over those of the ceiling's step, beside the formula for a matrix.

For one N x N matrix and a token, full fine-tuning takes 2 N^2 operations in the forward pass and 4 N^2 in the backward
pass. A low-rank update of rank R leaves out the 2 N^2 of the frozen matrix's own gradient and adds 12 N R: (4 N^2 +
12 N R) / (6 N^2) = 2/3 + 2 R / N, where 2 R / N is the share of the matrix's parameters that train. So it is 2/3 and
the trained share over all matrices of a backbone, if they read as many tokens. What differs from it: attention's own
products, the first layer, whose input needs no gradient, and matrices that read fewer tokens, as a decoder's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.views.forecast_memory import MemoryStudy, Row
from harness.experiments.claims import Claim
from harness.experiments.verdict import CONSTRUCTION, Comparison, Finding, overall

FROZEN = 2 / 3
"""The share of the operations that is left where no matrix has a gradient of its own."""
COUNTED = "counted in one step on the meta device: it has no seeds and no interval, and holds however training goes"


def table(study: MemoryStudy) -> Table:
    """Return one row per arm and batch: what trains, the operations, and their share of the ceiling's by count and by
    formula.
    """
    rows = []
    for row in study.rows:
        trained, share = study.trained(row.arm), counted(study, row)
        formula = by_formula(study, row.arm)
        operations = row.forecast["operations"] / 1e9 if row.forecast else None
        rows.append((
            word(row.arm), Entry(str(row.batch), row.batch), _percent(trained),
            Entry(MISSING) if operations is None else Entry(f"{operations:,.4g}", operations, keys=(row.key,)),
            _percent(share), Entry(MISSING) if row.arm == study.ceiling else _percent(formula),
        ))  # fmt: skip
    columns = ("method", "batch", "trained share", "GFLOP a step", f"of {study.ceiling}", "2/3 + trained share")
    return Table("operations", "Operations of a training step", study.model, columns, tuple(rows), _notes(study))


def _percent(share: float | None) -> Entry:
    return Entry(MISSING) if share is None else Entry(f"{100 * share:.1f} %", 100 * share)


def counted(study: MemoryStudy, row: Row) -> float | None:
    """Return the operations of an arm's step over those of the ceiling's at the same batch; None without both."""
    ceiling = study.at(study.ceiling or "", row.batch)
    if not row.forecast or ceiling is None or not ceiling.forecast or not ceiling.forecast["operations"]:
        return None
    return float(row.forecast["operations"] / ceiling.forecast["operations"])


def by_formula(study: MemoryStudy, arm: str) -> float | None:
    """Return 2/3 and the trained share; None without a forecast."""
    trained = study.trained(arm)
    return None if trained is None else FROZEN + trained


def share(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the arms of a method that train at most `most_trained` cost the printed share of the ceiling's
    step.
    """
    few = [row for row in _of(study, options) if (study.trained(row.arm) or 0) <= float(options["most_trained"])]
    return _finding(study, claim, options, [(row, float(options["share"])) for row in few])


def formula(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether each arm of a method costs 2/3 and its trained share of the ceiling's step."""
    expected = [(row, by_formula(study, row.arm)) for row in _of(study, options)]
    return _finding(study, claim, options, [(row, value) for row, value in expected if value is not None])


def _of(study: MemoryStudy, options: Mapping[str, Any]) -> Iterator[Row]:
    return (row for row in study.rows if row.method == options["left"])


def _finding(
    study: MemoryStudy, claim: Claim, options: Mapping[str, Any], expected: list[tuple[Row, float]]
) -> Finding:
    """Compare each counted share with what is expected of it, on both sides, within the margin."""
    margin, rows, texts = float(options["margin"]), [], []
    for row, value in expected:
        relation = f"costs {value:.1%} of the operations of"
        actual = counted(study, row)
        if actual is None:
            rows.append(Comparison(row.arm, str(study.ceiling), relation, "untested", reason="a count is missing"))
            continue
        verdict = "reproduced" if abs(actual - value) <= margin else "contradicted"
        rows.append(Comparison(row.arm, str(study.ceiling), relation, verdict, actual - value, keys=(row.key,)))
        texts.append(f"{row.arm} costs {actual:.1%} of {study.ceiling}, and {value:.1%} was expected")
    verdict = overall([row.verdict for row in rows])
    verdict = CONSTRUCTION if verdict == "reproduced" else verdict
    reason = "; ".join(texts) or "no forecast of both"
    text = f"{claim.sentence.rstrip('.')}: {verdict}; {reason}."
    return Finding(
        claim=claim.name, model=study.model, verdict=verdict, sentence=text, margin=margin, estimand=claim.estimand,
        scale=claim.scale, source=study.exhibit.source, comparisons=tuple(rows), notes=(COUNTED,),
    )  # fmt: skip


def _notes(study: MemoryStudy) -> tuple[str, ...]:
    first = next((row.forecast for row in study.rows if row.forecast), None)
    lengths = (
        [] if first is None else [f"{first['input_tokens']} input and {first['target_tokens']} target tokens a row"]
    )
    return (
        f"operations: matrix products and attention, forward and backward; {COUNTED}",
        *lengths,
        "2/3 + trained share: the formula (2 N^2 + 6 N R) / (3 N^2) over all matrices; it leaves out attention's own "
        "products, which no frozen weight spares and which weigh more in a narrow backbone, and takes all matrices to "
        "read as many tokens",
        *dict.fromkeys(f"{row.arm}: {row.reason}" for row in study.rows if row.reason),
    )
