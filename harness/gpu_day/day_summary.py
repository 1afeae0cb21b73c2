"""A day on one screen, and as the page that is published. Torch is not imported."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import formatting
from harness.config.step_load import gib
from harness.gpu_day.day import Day, Row
from harness.gpu_day.day_parts import PARTS, Part

WIDTH = 100


def text(day: Day) -> str:
    """Return the summary: the device, then some lines for each part."""
    return "\n".join([head(day.about()), *(line for part in PARTS for line in of(part, day.rows(part.name)))])


def head(about: Mapping[str, Any]) -> str:
    """Return the line on what the day ran on."""
    if about["dry"]:
        return "dry run on the CPU: tiny shapes, whose figures say nothing of a GPU"
    memory = gib(about["device_bytes"])
    return (
        f"{about['device']} ({memory}), driver {about['driver'] or 'unknown'}, CUDA {about['cuda']}, "
        f"torch {about['packages']['torch']}, deltabench {str(about['git'])[:12]}"
    )


def of(part: Part, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of one part."""
    counts = Counter(str(row["status"]) for row in rows)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "nothing measured"
    lines = part.lines(rows) if rows else []
    title = f"{part.letter} {part.name:<9} {states}"
    if len(lines) == 1 and len(title) + len(lines[0]) + 2 <= WIDTH:
        yield f"{title}; {lines[0]}"
        return
    yield title
    yield from (f"    {line}"[:WIDTH] for line in lines)


def page(day: Day) -> str:
    """Return the page of the published day, as Markdown."""
    about = day.about()
    name = "dry run on a CPU" if about["dry"] else about["device"]
    rows = "\n".join(_table(part, day.rows(part.name)) for part in PARTS)
    return (
        f"# A day with a GPU: {name}\n\nMade by `python -m harness.gpu_day` on {about['started'][:10]}. `rows.json` "
        f"holds every figure, and `records.jsonl.gz` the records of the cells.\n\n```\n{text(day)}\n```\n{rows}"
    )


def _table(part: Part, rows: Sequence[Row]) -> str:
    """Return a table of what a part measured: its rows with their status, their plain figures and their reason."""
    lines = [f"\n## {part.name}\n", "| what | status | figures |", "|---|---|---|"]
    lines += [f"| {row['name']} | {row['status']} | {_figures(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _figures(row: Row) -> str:
    """Return the numbers of a row, or the reason why it has none."""
    if row["status"] not in ("done", "oom") and "error" in row:
        return str(row["error"]).replace("|", "\\|")
    known = {name: value for name, value in row.items() if type(value) in (int, float)}
    return ", ".join(f"{name} {formatting.number(value)}" for name, value in known.items())
