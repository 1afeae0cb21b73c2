"""What a verb prints goes on when nobody reads it any more: the work and the exit code do not depend on a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Lasting:
    """A text stream that is silent once its reader is gone (`deltabench run … | head -1`).

    failed: what else ended it, such as a full disk; None where nothing did.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._silence(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._silence(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _silence(self, error: OSError) -> None:
        """What is still held back, and all that follows, goes to the null device."""
        if not isinstance(error, BrokenPipeError):
            self.failed = error
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def lasting() -> Iterator[Lasting]:
    """Standard output (given) and error that last."""
    before = sys.stdout, sys.stderr
    output = Lasting(sys.stdout)
    sys.stdout, sys.stderr = output, Lasting(sys.stderr)
    try:
        yield output
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
