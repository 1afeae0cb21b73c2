"""The comparisons behind a claim as small bars: each interval against the margin around no effect. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.study import open_rates

MOST, WIDTH, ROW = 6, 180, 10


def bars(finding: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the places, in pixels, of what the page draws; None where no comparison has an estimate."""
    rows = [row for row in finding["comparisons"] if row.get("estimate") is not None]
    if not rows:
        return None
    shown, margin, neutral = rows[:MOST], float(finding.get("margin") or 0.0), float(finding.get("neutral") or 0.0)
    marks = [neutral - margin, neutral, neutral + margin]
    ends = [_end(row, "low") for row in shown] + [_end(row, "high") for row in shown] + marks
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(6 + (WIDTH - 12) * (value - low) / span, 1)

    return {
        "width": WIDTH,
        "height": ROW * len(shown) + 4,
        "neutral": at(neutral),
        "margins": [at(marks[0]), at(marks[2])] if margin else [],
        "rows": [
            {
                "y": ROW * place + 7,
                "from": at(_end(row, "low")),
                "to": at(_end(row, "high")),
                "at": at(row["estimate"]),
                "verdict": row["verdict"],
                "text": sentence(row),
            }
            for place, row in enumerate(shown)
        ],
        "more": len(rows) - len(shown),
        "text": "; ".join(sentence(row) for row in shown),
    }


def sentence(row: Mapping[str, Any]) -> str:
    """Return a comparison in words: "lora at least adapter: 0.012 [-0.004, 0.028], inconclusive"."""
    interval = "" if row.get("low") is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['left']} {row['relation']} {row['right']}: {row['estimate']:.3g}{interval}, {row['verdict']}"


def needed(finding: Mapping[str, Any]) -> str:
    """Return what would decide the claim's open comparisons: "16 seeds", "5 to 40 seeds", more test rows, other rates.

    "" where nothing is open, or where nothing is known to decide it.
    """
    opened = [row for row in finding["comparisons"] if row["verdict"] == "inconclusive"]
    counts: Sequence[int] = [row["seeds"] for row in opened if row.get("seeds")]
    wishes = [f"{_span(counts)} seeds"] if counts else []
    wishes += ["more test rows"] if any(row.get("rows") for row in opened) else []
    wishes += ["more learning rates"] if any(row.get("reason") in open_rates.REASONS for row in opened) else []
    return ", ".join(wishes)


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _end(row: Mapping[str, Any], name: str) -> float:
    return float(row["estimate"] if row.get(name) is None else row[name])
