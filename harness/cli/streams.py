"""Streams that outlast their reader, so that the work and the exit code do not depend on who reads the output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Lasting:
    """A text stream that discards its text once its reader is gone (`deltabench run … | head -1`).

    failed: another error that ended the stream, such as a full disk; None without one.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, or nothing once the stream is broken, and return its number of characters."""
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._silence(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or do nothing once it is broken."""
        try:
            self._stream.flush()
        except OSError as error:
            self._silence(error)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _silence(self, error: OSError) -> None:
        """Direct the buffered text and all later text to the null device."""
        if not isinstance(error, BrokenPipeError):
            self.failed = error
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def lasting() -> Iterator[Lasting]:
    """Replace standard output and error by streams that outlast their readers, and give the one of the output."""
    before = sys.stdout, sys.stderr
    output = Lasting(sys.stdout)
    sys.stdout, sys.stderr = output, Lasting(sys.stderr)
    try:
        yield output
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
