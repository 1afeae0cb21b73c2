"""The comparisons behind a claim as small bars: each interval against the margin around no effect. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

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


def seeds(findings: Mapping[str, Any]) -> str:
    """Return how many seeds would decide the claim's open comparisons: "16", "5 to 40"; "" where none is known."""
    counts: Sequence[int] = [row["seeds"] for row in findings["comparisons"] if row.get("seeds")]
    if any(row.get("rows") for row in findings["comparisons"]):
        return f"{_span(counts)}, and more test rows" if counts else "more test rows"
    return _span(counts)


def _span(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _end(row: Mapping[str, Any], name: str) -> float:
    return float(row["estimate"] if row.get(name) is None else row[name])
