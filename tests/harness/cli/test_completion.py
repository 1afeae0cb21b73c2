"""`completion`: every shell has a script, and a line has the names that may follow."""

import shutil
import subprocess

import pytest

from harness.cli import dispatch
from harness.cli.commands import completion


@pytest.mark.parametrize(
    ("line", "among", "all_begin"),
    [
        ("deltabench ", {"run", "report", "view"}, ""),
        ("deltabench rep", {"reproduce", "report"}, "rep"),
        ("deltabench reproduce delta-r", {"delta-ranking"}, "delta-r"),
        ("deltabench run method=lo", {"method=lora"}, "method=lo"),
        ("deltabench run method=full,lo", {"method=full,lora"}, "method=full,lo"),
        ("deltabench run me", {"method="}, "me"),
        ("deltabench run task=micro/s", {"task=micro/sentiment"}, "task=micro/s"),
        ("deltabench reproduce x +method=bi", {"+method=bitfit"}, "+method=bi"),
        ("deltabench list m", {"methods", "models", "method="}, "m"),
        ("deltabench reproduce delta-ranking scale=", {"scale=quick"}, "scale="),
    ],
)
def test_the_words_that_may_follow(line: str, among: set[str], all_begin: str) -> None:
    words = completion.words(line)
    assert among <= set(words)
    assert all(word.startswith(all_begin) for word in words)


def test_nothing_follows_what_has_no_names() -> None:
    assert completion.words("deltabench run seed=") == []
    assert completion.words("deltabench nonsens") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script_that_it_can_read(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "deltabench completion words" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_bash_completes_behind_an_equals_sign() -> None:
    """bash takes `=` for the end of a word, so only what stands behind it is replaced."""
    script = f"""deltabench() {{ printf 'method=lora\\nmethod=full\\n'; }}
{completion.SCRIPTS["bash"]}
COMP_LINE='deltabench run method=l' COMP_POINT=23 COMP_WORDS=(deltabench run method = l) COMP_CWORD=4
_deltabench; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "lora\n"


def test_an_unknown_shell_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["completion", "bsh"]) == 2
    assert "there is no completion for 'bsh'" in capsys.readouterr().err
