"""What is printed steers no terminal, whatever stands in the files that it came from. Torch-free.

A name in a record, a card, a log or a judge's answer may hold escape sequences, which clear a screen, set its title or
write on its clipboard, and signs that turn the direction of the text. One gate in front of both streams shows them as
escapes, so that no page has to remember it. What draws on purpose (a bar, a table in colours) is `console`.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_KEPT = "\n\t\u200c\u200d"
"""Ends of lines and tabs, and the joiners that scripts and emoji need."""
_STEERING = ("Cc", "Cf", "Zl", "Zp", "Cs")


def shown(text: str) -> str:
    """The text with `\\x1b` or `\\u202e` for every sign that would steer a terminal; ends of lines stay."""
    if text.isprintable():  # nearly every text
        return text
    return "".join(sign if _harmless(sign) else _escape(sign) for sign in text)


@contextmanager
def guarded() -> Iterator[None]:
    """While the block runs, both standard streams are gates."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if one is None else _gate(one) for one in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(error: bool = False, width: int | None = None) -> "Console":
    """Rich's console on a standard stream: it draws, and the texts in what it draws steer nothing."""
    from rich.console import Console
    from rich.segment import Segment

    class Guarded(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else segment._replace(text=shown(segment.text))

    stream = sys.stderr if error else sys.stdout
    return Guarded(file=stream.stream if isinstance(stream, _Gate) else stream, width=width)


class _Gate:
    """A text stream that writes what `shown` makes of a text; everything else is the stream's own."""

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
    return stream if isinstance(stream, _Gate) else cast("TextIO", _Gate(stream))


def _harmless(sign: str) -> bool:
    return sign in _KEPT or unicodedata.category(sign) not in _STEERING


def _escape(sign: str) -> str:
    """JSON holds no control sign below 0x20 as it is, so that a gate leaves it valid."""
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}" if number < 1 << 16 else _pair(number)


def _pair(number: int) -> str:
    """A sign beyond 16 bits as JSON writes it."""
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
