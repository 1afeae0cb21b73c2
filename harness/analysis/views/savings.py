"""Claims about saved memory. Forecasts are arithmetic and always the same, so a verdict has no interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.views.forecast_memory import MemoryStudy
from harness.experiments.claims import Claim, side_text
from harness.experiments.verdict import Comparison, Finding, overall
from harness.formatting import enumeration

COMPUTED = "a forecast has no seeds and no interval: the verdict rests on the margin and on the memory model"


def up_to(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the best of the methods at the smallest batch saves the printed share."""
    return _extreme(study, claim, options, study.batches[:1], max, "most")


def at_least(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether the least saving of the methods, from `from_batch` on, is no less than the printed share.

    "At least" states a bound: a saving far above it is no miss, and the sentence states how large it is.
    """
    large = [batch for batch in study.batches if batch >= options["from_batch"]]
    return _extreme(study, claim, options, large, min, "least", bound=True)


def against(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Test whether one arm saves the printed share of another's peak at the printed batch. A side is an arm's
    own name.
    """
    left, right, batch = side_text(options["left"]), side_text(options["right"]), int(options["batch"])
    mine, other = study.at(left, batch), study.at(right, batch)
    saved = 1 - mine.bytes / other.bytes if mine and other and mine.bytes and other.bytes else None
    keys = tuple(row.key for row in (mine, other) if row)
    row = _row(left, right, batch, saved, options, keys)
    others = [text for size in study.batches if size != batch and (text := _at(study, left, right, size))]
    beside = f" ({', '.join(others)})" if others else ""
    reason = "a forecast is missing" if saved is None else f"{saved:.1%} at batch {batch}{beside}"
    return _finding(study, claim, float(options["margin"]), (row,), reason)


def _at(study: MemoryStudy, left: str, right: str, batch: int) -> str:
    """Return '51% at batch 1'; "" where a forecast is missing."""
    mine, other = study.at(left, batch), study.at(right, batch)
    if mine is None or other is None or not mine.bytes or not other.bytes:
        return ""
    return f"{1 - mine.bytes / other.bytes:.0%} at batch {batch}"


def _extreme(
    study: MemoryStudy,
    claim: Claim,
    options: Mapping[str, Any],
    batches: Sequence[int],
    of: Any,
    word: str,
    bound: bool = False,
) -> Finding:
    """Compare the most or the least saving with the printed share; a missing forecast is untested."""
    savings, right = _savings(study, options, batches), study.ceiling or str(study.exhibit.ceiling)
    known = [(saved, arm, batch) for arm, batch, saved in savings if saved is not None]
    rows = [_row(arm, right, batch, None, options, ()) for arm, batch, saved in savings if saved is None]
    reason = "nothing to compare with"
    if known:
        saved, arm, batch = of(known)
        keys = tuple(row.key for row in (study.at(arm, batch), study.at(right, batch)) if row)
        rows.insert(0, _row(arm, right, batch, saved, options, keys, bound))
        among = f" of {enumeration(chosen)}" if (chosen := _named(study, options)) else ""
        reason = f"the {word}{among} is {saved:.0%}, by {arm} at batch {batch}"
    return _finding(study, claim, float(options["margin"]), tuple(rows), reason)


def _named(study: MemoryStudy, options: Mapping[str, Any]) -> list[str]:
    """Return the methods that a claim is about; none where it is about all that are there."""
    return [method for method in options["methods"] or () if method in study.arms.values()]


def _savings(
    study: MemoryStudy, options: Mapping[str, Any], batches: Sequence[int]
) -> list[tuple[str, int, float | None]]:
    wanted = options["methods"]
    chosen = [
        arm
        for arm, method in study.arms.items()
        if arm != study.ceiling and (wanted is None or method in wanted) and method != study.exhibit.ceiling
    ]
    return [(arm, batch, study.saved(arm, batch)) for batch in batches for arm in chosen]


def _row(
    left: str,
    right: str,
    batch: int,
    saved: float | None,
    options: Mapping[str, Any],
    keys: tuple[str, ...],
    bound: bool = False,
) -> Comparison:
    """Return the comparison with the printed share, tested on both sides of it.

    bound: the printed share is the least that is claimed, so more is as good.
    """
    share, margin = float(options["share"]), float(options["margin"])
    relation = f"saves {'at least ' if bound else ''}{share:.1%} at batch {batch} of"
    if saved is None:
        return Comparison(left, right, relation, "untested", reason="a forecast is missing")
    beyond = share - saved if bound else abs(saved - share)
    verdict = "reproduced" if beyond <= margin else "contradicted"
    return Comparison(left, right, relation, verdict, estimate=saved, keys=keys)


def _finding(study: MemoryStudy, claim: Claim, margin: float, rows: tuple[Comparison, ...], reason: str) -> Finding:
    verdict = overall([row.verdict for row in rows])
    return Finding(
        claim=claim.name,
        model=study.model,
        verdict=verdict,
        sentence=f"{claim.sentence.rstrip('.')}: {verdict} by forecast; {reason}.",
        margin=margin,
        estimand=claim.estimand,
        scale=claim.scale,
        source=study.exhibit.source,
        comparisons=rows,
        notes=(COMPUTED,),
    )
