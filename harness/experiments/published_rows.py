"""The numbers that a paper printed, as the rows of a CSV file. Torch-free."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError, near
from harness.files import plain_files

Row = Mapping[str, str]
ORDER = ("quantity", "method", "rank")
"""The columns of a published order of methods."""


def read(path: Path) -> tuple[Row, ...]:
    """Return the rows of a CSV of published numbers; lines that start with # name its source."""
    try:
        lines = plain_files.read_text(path).splitlines()
        return tuple(csv.DictReader(line for line in lines if not line.startswith("#")))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: it cannot be read as CSV ({error}).") from error


def ranks(rows: Sequence[Row], quantity: str) -> dict[str, float]:
    """Return method -> published rank for one quantity, best first; equal ranks are called similar."""
    own = [row for row in rows if row.get("quantity") == quantity]
    return {row["method"]: float(row["rank"]) for row in sorted(own, key=lambda row: float(row["rank"]))}


def check_order(path: Path, quantity: str) -> None:
    """Raise UsageError where the file has no order of methods for this quantity, or one that contradicts itself."""
    rows = read(path)
    columns = list(rows[0]) if rows else []
    if absent := [name for name in ORDER if name not in columns]:
        had = ", ".join(map(str, columns)) or "no rows"
        raise UsageError(f"{path.name} lacks the column '{absent[0]}' of a published order, and has {had}.")
    named: set[str] = set()
    for row in rows:
        if row["quantity"] != quantity:
            continue
        if not _is_number(row["rank"]):
            raise UsageError(
                f"{path.name}: the rank of {row['method']} is '{row['rank']}'; it is a number, 1 the best."
            )
        if row["method"] in named:
            raise UsageError(f"{path.name} has two ranks of {row['method']} for '{quantity}'. Keep one.")
        named.add(row["method"])
    if not named:
        known = sorted({str(row["quantity"]) for row in rows})
        raise UsageError(f"{path.name} has no rows for the quantity '{quantity}'.{near(quantity, known)}")


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False
