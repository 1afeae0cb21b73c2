"""The verdict on a claim, and one sentence with what decided it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.analysis.study import open_rates, shared_by_seeds, statistics
from harness.analysis.study.more_seeds import looks, power
from harness.analysis.study.more_seeds.next_steps import next_steps
from harness.analysis.study.study import Study
from harness.experiments import units
from harness.experiments.claims import Claim
from harness.experiments.units import Unit
from harness.experiments.verdict import CONSTRUCTION, Comparison, Finding, overall

ALPHA = 1 - statistics.LEVEL
OURS = "deltabench's own claim, which no paper makes"
SEEDS_ALONE = "its intervals are over seeds alone: they leave out that other test rows would give other scores"
OTHER_COLUMNS = (
    "the intervals of the other columns are over seeds alone: other test rows, or another text, would give other values"
)
"""The remark of a table whose scores have intervals for new rows, too."""
TEXT_ALONE = "its intervals are over seeds alone: they leave out that another text would give other losses"
SHOWN = 4
"""The number of details that a sentence gives, and of comparisons that it names with each."""


def finding(
    study: Study,
    claim: Claim,
    margin: float,
    comparisons: tuple[Comparison, ...],
    numbers: Mapping[str, Any],
    absent: Sequence[str],
    each: Callable[[Comparison], str] | None = None,
    over: Callable[[list[str]], str] = overall,
) -> Finding:
    """Return the claim's verdict with one sentence that names what decided it; every claim on records ends here.

    A comparison that a better learning rate could change is inconclusive, but where the claim says why no rate matters.
    each: what the sentence says of every comparison, instead of counts. over: the claim's verdict from theirs.
    """
    comparisons = over_looks(study, claim, margin, comparisons)
    comparisons = comparisons if claim.any_rate else open_rates.settle(study, margin, comparisons)
    verdict = over([row.verdict for row in comparisons])
    verdict = CONSTRUCTION if claim.construction and verdict == "reproduced" else verdict
    text = one_by_one(claim, verdict, comparisons, each) if each else sentence(claim, verdict, comparisons, numbers)
    text = f"{text.rstrip('.')} (our own claim, not a paper's)." if claim.ours else text
    counts = units.what_counts(claim, margin, comparisons)
    gone = [f"{note[0].upper()}{note[1:]}." for note in study.left_out() if note in numbers.get("left_out", ())]
    text = " ".join(filter(None, (text, counts, *gone, looks.sentence(comparisons), next_steps(comparisons))))
    notes = (
        [f"left out, because these cells lack them or have several variants of them: {', '.join(absent)}"]
        if absent
        else []
    )
    smallest = numbers.get("tau_smallest_p", 0.0)
    if smallest > ALPHA:
        notes.append(
            f"with {numbers['methods']} methods tau cannot reach p < {ALPHA:.2f} whatever the scores: "
            f"its smallest p is {smallest:.2f}"
        )
    notes += numbers.get("left_out", ())
    notes += shared_by_seeds.notes(study, comparisons) if any(row.low is not None for row in comparisons) else ()
    if decided := [f"{row.left} {row.relation} {row.right}" for row in comparisons if row.at_best]:
        notes.append(f"decided, because no better learning rate could change the verdict: {'; '.join(decided)}")
    if "range" in numbers:
        texts = ", ".join(f"{name} {100 * width:.1f}" for name, width in numbers["range"].items())
        notes.append(f"highest mean minus lowest mean, in points: {texts} (described, not tested)")
    return Finding(
        claim=claim.name,
        model=study.model,
        verdict=verdict,
        sentence=text,
        margin=margin,
        estimand=claim.estimand,
        scale=claim.scale,
        source=OURS if claim.ours else study.exhibit.source,
        statistics=dict(numbers),
        comparisons=comparisons,
        notes=tuple(notes),
    )


def over_looks(study: Study, claim: Claim, margin: float, comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons with their verdicts over all looks, where seeds are added until the exhibit is decided."""
    if study.over_looks is None:
        return tuple(comparisons)
    places = [looks.place(study.model, claim, margin, row) for row in comparisons]
    return tuple(looks.applied(comparisons, places, study.over_looks))


def sentence(claim: Claim, verdict: str, comparisons: Sequence[Comparison], numbers: Mapping[str, Any]) -> str:
    """Return 'sentence: verdict; 8 of 10 comparisons reproduced, 1 contradicted (…), …; tau-b 0.80 [.., ..]'."""
    parts = [f"{claim.sentence.rstrip('.')}: {verdict}"]
    if not comparisons:
        return parts[0] + "; these cells have no two of the methods that it compares."
    if "share" in numbers:
        parts.append(_share(comparisons[0], numbers))
    else:
        parts.append(", ".join(_by_verdict(comparisons, units.of(claim))))
        parts += _on_these_rows(comparisons)
    rate_reasons = ("", *open_rates.REASONS)
    helpless = sum(row.reason not in rate_reasons and row.verdict == "inconclusive" for row in comparisons)
    if helpless:
        parts.append(f"{helpless} cannot be decided with these cells, whatever their scores")
    if "tau_b" in numbers:
        parts.append(f"Kendall's tau-b {numbers['tau_b']:.2f}, exact p {numbers['tau_p']:.3f}")
    return "; ".join(parts) + "."


def one_by_one(claim: Claim, verdict: str, rows: Sequence[Comparison], describe: Callable[[Comparison], str]) -> str:
    """Return 'sentence: verdict; …: contradicted; …: inconclusive (why)' with the text that `describe` gives each
    comparison. The verdict of each is said where they differ.
    """
    head = f"{claim.sentence.rstrip('.')}: {verdict}"
    if not rows:
        return f"{head}; these cells lack the methods that it compares."
    several = len({row.verdict for row in rows}) > 1
    words = [f": {row.verdict}" if several else "" for row in rows]
    reasons = [f" ({row.reason})" if row.reason else "" for row in rows]
    return "; ".join([head, *map("".join, zip(map(describe, rows), words, reasons, strict=True))]) + "."


def _share(row: Comparison, numbers: Mapping[str, Any]) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low + 0.5:.0%}, {row.high + 0.5:.0%}]"
    if row.verdict == "untested":
        return row.reason
    why = f" ({row.reason})" if row.reason else ""
    return f"{numbers['share']:.0%}{interval} of the cases are within {100 * numbers['near']:g} points{why}"


def _by_verdict(comparisons: Sequence[Comparison], unit: Unit) -> list[str]:
    """Return '1 of 3 comparisons reproduced (a vs b: +3.1 points [+1.9, +4.3])', '2 inconclusive (a vs c: …)', ….

    Comparisons with the same detail are named together: 'a vs b, a vs c: only one learning rate was tried'.
    """
    texts = []
    for word in ("reproduced", "contradicted", "inconclusive", "untested"):
        rows = [row for row in comparisons if row.verdict == word]
        first = word == "reproduced"
        head = f"{len(rows)} of {len(comparisons)} comparisons {word}" if first else f"{len(rows)} {word}"
        reasons = {row.reason for row in rows}
        if word == "untested" and len(reasons) == 1:
            texts.append(f"{head} ({reasons.pop()})")
        elif rows:
            groups: dict[str, list[str]] = {}
            for row in rows:
                groups.setdefault(_detail(row, unit), []).append(f"{row.left} vs {row.right}")
            parts = [_named(pairs) + (f": {detail}" if detail else "") for detail, pairs in groups.items()]
            texts.append(f"{head} ({'; '.join(parts[:SHOWN])}{'; …' if len(parts) > SHOWN else ''})")
        elif first:
            texts.append(head)
    return texts


def _named(pairs: Sequence[str]) -> str:
    """Return the first SHOWN pairs, and how many more there are."""
    more = len(pairs) - SHOWN
    return ", ".join(pairs[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _detail(row: Comparison, unit: Unit) -> str:
    """Return the estimate of a decided comparison, or what it would take to decide an inconclusive one."""
    if row.verdict in looks.DECIDED:
        return unit.text(row) or row.reason
    if row.verdict != "inconclusive":
        return ""
    if row.reason:
        return row.reason
    if row.rows:
        return f"with any number of seeds it would take {more_rows(row.rows)}"
    if row.look is not None and row.seeds is None:
        return f"undecided at look {row.look}" if row.look else "before its first look"
    return f"{seeds(row)} seeds would {'decide it' if row.seeds else 'be needed'}"


def needed(row: Comparison) -> str:
    """Return what an inconclusive comparison would take, as short as a table needs it."""
    if row.rows:
        return more_rows(row.rows)
    if row.look is not None and row.seeds is None:
        known = row.test is not None and math.isfinite(row.test.sd)
        return f"more than {looks.LOOKS[-1]}" if known else "not known"
    return seeds(row)


def more_rows(times: float) -> str:
    """Return how many times as many test rows it would take."""
    return f"{times:.1f} times the test rows" if times < 100 else "more than 100 times the test rows"


def seeds(row: Comparison) -> str:
    """Return the seeds as '19 (9 to 120)', '19 (9 to more than 1000)' or 'more than 1000'."""
    beyond = f"more than {power.SEED_LIMIT}"
    if row.seeds is None or row.fewest is None:
        return str(row.seeds or beyond)
    return f"{row.seeds} ({row.fewest} to {row.most or beyond})"


def _on_these_rows(comparisons: Sequence[Comparison]) -> list[str]:
    """Return how many comparisons hold over seeds alone, where that is another number."""
    known = [row for row in comparisons if row.seeds_verdict and not row.reason]
    if all(row.seeds_verdict == row.verdict for row in known):
        return []
    reproduced = sum(row.seeds_verdict == "reproduced" for row in known)
    return [f"over seeds alone, with these test rows fixed, {reproduced} of {len(comparisons)} reproduced"]
