"""Errors that a person can correct; the command line prints one sentence and exits with code 2."""

from collections.abc import Iterable, Mapping

from harness.nearest import closest


class UsageError(Exception):
    """A value of a person breaks a rule: the message holds the value, the rule and the next step."""


class RowsAbsent(UsageError):
    """Rows that nobody gave and that cannot be fetched. An error in given rows is another UsageError."""


class NotApplicable(UsageError):
    """A pair (method x family, task x objective) that is impossible, with its reason."""


class Halted(Exception):
    """A command that stops before its end because this machine does not let it go on: the command line prints one
    sentence, and exits with code 1.
    """


class Impossible(UsageError):
    """Cells of a grid that cannot run. lines: one for each reason, with the combinations that it stops."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines

    def __str__(self) -> str:
        return " ".join((super().__str__(), *self.lines))


def near(value: str, names: Iterable[str], meant: Iterable[str] = (), also: Mapping[str, str] | None = None) -> str:
    """Return ' Did you mean a, b?' for the names closest to `value`, else ' Known: …' (at most twelve).

    meant: further names to suggest, which are too many to list as known. also: other words for these names.
    """
    known = sorted(names)
    if close := closest(value, [*known, *meant], also):
        shown = (name if name == name.strip() else repr(name) for name in close)  # a space at an end would not be seen
        return f" Did you mean {', '.join(shown)}?"
    return f" Known: {', '.join(known[:12])}{' …' if len(known) > 12 else ''}." if known else ""


def together(messages: Iterable[str]) -> str:
    """Return several messages, each once, as one sentence: a full stop stands at its end alone."""
    *first, last = dict.fromkeys(messages)
    return "; ".join([*(message.rstrip(".") for message in first), last])


def shown(value: object, most: int = 60) -> str:
    """Return a value in quotes, where it is a text, as `cut`."""
    return cut(repr(value), most)


def cut(value: object, most: int) -> str:
    """Return a value's text, with … where it is longer than `most` characters: a number that ends without a sign would
    be read as another number.
    """
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def plain(line: str) -> str:
    """Return the line with control characters escaped: a value, a log or a record from elsewhere may hold them."""
    return "".join(sign if sign.isprintable() or sign == "\t" else f"\\x{ord(sign):02x}" for sign in line)
