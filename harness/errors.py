"""What can go wrong by a person's doing; the command line turns it into one sentence and exit 2."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A value a person gave breaks a rule: the message holds the value, the rule and the next step."""


class RowsAbsent(UsageError):
    """Rows that nobody gave, and that cannot be fetched. What is wrong about given ones is another UsageError."""


class NotApplicable(UsageError):
    """A pair (method x family, task x objective) that cannot be, with its reason."""


def near(value: str, names: Iterable[str]) -> str:
    """' Did you mean a, b?' for the names closest to `value`, else ' Known: …' (at most twelve)."""
    known = sorted(names)
    close = difflib.get_close_matches(value, known, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {', '.join(close)}?"
    return f" Known: {', '.join(known[:12])}{' …' if len(known) > 12 else ''}." if known else ""


def plain(line: str) -> str:
    """The line without what would steer a terminal: a value, a log or a record from elsewhere may hold it."""
    return "".join(sign if sign.isprintable() or sign == "\t" else f"\\x{ord(sign):02x}" for sign in line)
