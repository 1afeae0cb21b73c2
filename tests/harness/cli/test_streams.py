"""What a verb prints never decides how it ends, unless it could not be written."""

import errno
import io
import os
import sys
from collections.abc import Iterator

import pytest

from harness.cli import dispatch as cli


class Gone(io.StringIO):
    """A stream whose reader or disk is gone."""

    def __init__(self, error: OSError, number: int) -> None:
        super().__init__()
        self.error, self.number = error, number

    def write(self, text: str) -> int:
        raise self.error

    def fileno(self) -> int:
        return self.number


@pytest.fixture
def number() -> Iterator[int]:
    """A file number of our own, which may be silenced."""
    found = os.open(os.devnull, os.O_WRONLY)
    yield found
    os.close(found)


@pytest.mark.parametrize("code", [0, 1, 2])
@pytest.mark.parametrize(("kind", "least"), [(errno.EPIPE, 0), (errno.ENOSPC, 1)])
def test_the_code_is_that_of_the_work(
    code: int, kind: int, least: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the work is done without a reader; output that a full disk cut off is a failure of its own."""
    done = []

    def dispatch(words: list[str]) -> int:
        for line in range(3):
            print(line, flush=True)
            done.append(line)
        return code

    monkeypatch.setattr(cli, "_dispatch", dispatch)
    monkeypatch.setattr(sys, "stdout", Gone(OSError(kind, os.strerror(kind)), number))
    assert cli.main([]) == max(code, least)
    assert done == [0, 1, 2]
    assert isinstance(sys.stdout, Gone)
