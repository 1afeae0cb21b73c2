"""What is printed steers no terminal."""

import io
import json
import sys

import pytest

from harness import terminal
from harness.cli import dispatch as cli

STEERING = ["\x1b[2J", "\x1b]0;owned\x07", "a\rb", "\x9b2J", "\u202e", "\x7f", "\u2028", "\U000e0041", "\b\b"]


@pytest.mark.parametrize("text", STEERING)
def test_signs_that_steer_are_shown(text: str) -> None:
    assert all(terminal._harmless(sign) for sign in terminal.shown(text))
    assert terminal.shown(text) != text


@pytest.mark.parametrize("text", ["plain", "a\tb\nc", "日本\u3000語", "a\u00a0b", "👩\u200d🔬", "naïve"])
def test_texts_of_people_stay(text: str) -> None:
    assert terminal.shown(text) == text


@pytest.mark.parametrize("text", STEERING)
def test_json_stays_what_it_was(text: str) -> None:
    assert json.loads(terminal.shown(json.dumps({"a": text}, ensure_ascii=False, indent=1))) == {"a": text}


def test_both_streams_are_gates_and_then_themselves_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dispatch(words: list[str]) -> int:
        print("out\x1b[2J")
        print("error\x1b[2J", file=sys.stderr)
        return 0

    monkeypatch.setattr(cli, "_dispatch", dispatch)
    before = sys.stdout, sys.stderr
    assert cli.main([]) == 0
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("out\\x1b[2J\n", "error\\x1b[2J\n")


def test_a_stream_that_is_closed_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with terminal.guarded():
        assert sys.stderr is None


def test_a_drawing_console_colours_and_its_texts_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal.guarded():
        terminal.console(width=80).print("a\x1b[2Jb", style="red", markup=False, highlight=False)
    assert "a\\x1b[2Jb" in screen.getvalue()
    assert "\x1b[31m" in screen.getvalue()
