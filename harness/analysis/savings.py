"""Claims about saved memory, on forecasts: arithmetic, the same every time, so a verdict has no interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.claims import Claim, said
from harness.analysis.memory import MemoryStudy
from harness.analysis.verdict import Comparison, Finding, overall

COMPUTED = "by forecast, which is arithmetic: no seeds, no interval; margin and memory model decide"


def up_to(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """The best of the methods at the smallest batch saves `share`, less the margin, or more."""
    share, margin = float(options["share"]), float(options["margin"])
    found = _savings(study, options, study.batches[:1])
    known = {arm: saved for arm, _, saved in found if saved is not None}
    best = max(known, key=known.__getitem__) if known else None
    rows = tuple(_row(study, found[i], share, margin) for i in range(len(found)) if best in (None, found[i][0]))
    told = f"{best} saves {known[best]:.0%} at batch {study.batches[0]}" if best else "nothing to compare with"
    return _finding(study, claim, margin, rows, told)


def at_least(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """Each of the methods saves `share`, less the margin, at every batch from `from_batch` on."""
    share, margin = float(options["share"]), float(options["margin"])
    large = [batch for batch in study.batches if batch >= options["from_batch"]]
    found = _savings(study, options, large)
    rows = tuple(_row(study, one, share, margin) for one in found)
    known = [(saved, arm, batch) for arm, batch, saved in found if saved is not None]
    told = "nothing to compare with"
    if known:
        least, arm, batch = min(known)
        held = sum(row.verdict == "reproduced" for row in rows)
        told = f"{held} of {len(rows)} do; least {least:.0%}, {arm} at batch {batch}"
    return _finding(study, claim, margin, rows, told)


def against(study: MemoryStudy, claim: Claim, options: Mapping[str, Any]) -> Finding:
    """One arm saves `share` of another's peak, less the margin, at every batch; a side is an arm's own name."""
    share, margin = float(options["share"]), float(options["margin"])
    sides = said(options["left"]), said(options["right"])
    rows = tuple(_pair(study, *sides, batch, share - margin) for batch in study.batches)
    known = [row.estimate for row in rows if row.estimate is not None]
    told = f"{min(known):.0%} to {max(known):.0%}, by the batch" if known else "nothing to compare with"
    return _finding(study, claim, margin, rows, told)


def _pair(study: MemoryStudy, left: str, right: str, batch: int, least: float) -> Comparison:
    mine, other, relation = study.at(left, batch), study.at(right, batch), f"at batch {batch} needs less than"
    if mine is None or other is None or not mine.bytes or not other.bytes:
        return Comparison(left, right, relation, "untested", reason="a forecast is missing")
    saved = 1 - mine.bytes / other.bytes
    verdict = "reproduced" if saved >= least else "contradicted"
    return Comparison(left, right, relation, verdict, saved, keys=(mine.key, other.key))


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


def _row(study: MemoryStudy, one: tuple[str, int, float | None], share: float, margin: float) -> Comparison:
    arm, batch, saved = one
    relation = f"saves {share:.0%} at batch {batch} of"
    against = study.ceiling or str(study.exhibit.ceiling)
    if saved is None:
        return Comparison(arm, against, relation, "untested", reason="a forecast is missing")
    keys = tuple(row.key for row in (study.at(arm, batch), study.at(against, batch)) if row)
    verdict = "reproduced" if saved >= share - margin else "contradicted"
    return Comparison(arm, against, relation, verdict, estimate=saved, keys=keys)


def _finding(study: MemoryStudy, claim: Claim, margin: float, rows: tuple[Comparison, ...], told: str) -> Finding:
    verdict = overall([row.verdict for row in rows])
    return Finding(
        claim=claim.name,
        model=study.model,
        verdict=verdict,
        sentence=f"{claim.sentence.rstrip('.')}: {verdict} by forecast; {told}.",
        margin=margin,
        estimand=claim.estimand,
        scale=claim.scale,
        source=study.exhibit.source,
        comparisons=rows,
        notes=(COMPUTED,),
    )
