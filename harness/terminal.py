"""Printed text cannot control the terminal, whatever the files contain that it came from. Torch is not imported.

A name in a record, a card, a log or a judge's answer may hold escape sequences, which clear a screen, set its title or
write to its clipboard, and characters that change the direction of text. A filter in front of both streams shows them
as escapes, so that no other module has to. Intended control sequences (a bar, a table in colours) go through `console`.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_KEPT = "\n\t\u200c\u200d"
"""Ends of lines and tabs, and the joiners that scripts and emoji need."""
_STEERING = ("Cc", "Cf", "Zl", "Zp", "Cs")


def shown(text: str) -> str:
    """Return the text with `\\x1b` or `\\u202e` for every character that would control a terminal.

    Ends of lines stay.
    """
    if text.isprintable():  # nearly every text
        return text
    return "".join(sign if _harmless(sign) else _escape(sign) for sign in text)


@contextmanager
def guarded() -> Iterator[None]:
    """Filter both standard streams while the block runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if stream is None else _gate(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(error: bool = False, width: int | None = None) -> "Console":
    """Return Rich's console on a standard stream: it draws, and the texts in its drawings control nothing."""
    from rich.console import Console
    from rich.segment import Segment

    class Guarded(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else segment._replace(text=shown(segment.text))

    stream = sys.stderr if error else sys.stdout
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Guarded(file=stream.stream if isinstance(stream, _Gate) else stream, width=width, color_system=colours)


def width() -> int | None:
    """Return the number of columns that a line may have: the terminal's, else COLUMNS; None for a pipe or a file."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return None


class _Gate:
    """A text stream that writes the filtered text; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(shown(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _gate(stream: TextIO) -> TextIO:
    """Return the filtered stream."""
    return stream if isinstance(stream, _Gate) else cast("TextIO", _Gate(stream))


def _harmless(sign: str) -> bool:
    """Return whether a character controls no terminal."""
    return sign in _KEPT or unicodedata.category(sign) not in _STEERING


def _escape(sign: str) -> str:
    """Return a character as an escape. JSON has no bare control character below 0x20, so filtered JSON stays valid."""
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}" if number < 1 << 16 else _pair(number)


def _pair(number: int) -> str:
    """Return a character beyond 16 bits as JSON writes it."""
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
