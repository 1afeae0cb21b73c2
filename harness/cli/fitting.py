"""Text that fits the terminal. Without a terminal nothing is cut or wrapped, so that a pipe gets one line per row."""

import textwrap
from collections.abc import Sequence

LEAST = 24
"""The least number of characters for a wrapped text beside its name; with fewer it stands below the name."""
WIDEST = 34
"""Characters of a column; a longer text shifts its own line only."""


def described(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return lines in aligned columns, the last of which is wrapped to the width (characters; None: any)."""
    *columns, _ = zip(*rows, strict=True) if rows else [()]
    sizes = [min(WIDEST, max(map(len, column))) for column in columns]
    lines = []
    for *cells, text in rows:
        start = "  ".join(cell.ljust(size) for cell, size in zip(cells, sizes, strict=True))
        lines += _wrapped(start, text, sum(sizes) + 2 * len(sizes), width)
    return lines


def sentence(text: str, width: int | None) -> list[str]:
    """Return a text as lines of at most the width; a word that is longer stays whole."""
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width, 10), break_long_words=False, break_on_hyphens=False)


def _wrapped(start: str, text: str, margin: int, width: int | None) -> list[str]:
    """Return the start of a line and its text, which goes on below itself at the margin."""
    if width is None or len(start) + 2 + len(text) <= width:
        return [f"{start}  {text}".rstrip()]
    if width - margin < LEAST or len(start) + 2 > margin:
        return [start.rstrip(), *textwrap.wrap(text, max(width, 10), initial_indent="    ", subsequent_indent="    ")]
    first, *more = textwrap.wrap(text, width - margin, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{start}  {first}".rstrip(), *(" " * margin + line for line in more)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> tuple[list[str], list[str]]:
    """Return the lines of a table with as many columns as fit the width, and the names of the columns left out."""
    sizes = [min(WIDEST, max(map(len, column))) for column in zip(head, *rows, strict=True)]
    shown = len(sizes)
    while width is not None and shown > 1 and sum(sizes[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    lines = [
        "  ".join(text.ljust(size) for text, size in zip(line[:shown], sizes, strict=False)).rstrip()
        for line in (head, *rows)
    ]
    return lines, list(head[shown:])
