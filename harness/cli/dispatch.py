"""Run `deltabench VERB …`: import the verb's page, call it, and print an error as one sentence. Torch-free."""

import argparse
import ast
import importlib
import io
import itertools
import logging
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from harness import terminal
from harness.cli import streams
from harness.errors import Halted, Impossible, UsageError, near, plain
from harness.processes import termination

VERBS = Path(__file__).parent / "commands"
ORDER = (
    "run", "sweep", "plan", "forecast", "status", "table", "show", "why", "delta", "store", "reproduce", "check",
    "claims", "report", "view", "list", "pretrain", "doctor", "completion",
)  # fmt: skip
FETCHING = ("run", "sweep", "plan", "forecast", "reproduce", "delta", "probe", "judge", "push", "pull")
"""The verbs that may need rows or files of the Hub; every other reads only what is on this machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 success, 1 some cells failed, 2 usage or configuration, 130
    interrupted, 143 ended by SIGTERM, 129 by SIGHUP.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _reopen()
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal lacks is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with streams.lasting() as output:
        with terminal.guarded():
            logging.basicConfig(format="deltabench: %(message)s", level=logging.WARNING)
            with termination.interrupting() as interruption:
                code = _main(words, interruption)
        output.flush()
        if output.failed is not None:
            print(f"deltabench: the output could not be written: {output.failed.strerror}", file=sys.stderr)
    return interruption.exit_code(code or int(output.failed is not None))


def _main(words: list[str], interruption: termination.Interruption) -> int:
    """Run a command, and print what ended it as one sentence."""
    try:
        return _dispatch(words)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or interruption.signals:  # a library may turn it into its own error
            how = f"ended by {interruption.name}" if interruption.name else "interrupted"
            print(f"deltabench: {how}", file=sys.stderr)
            return termination.INTERRUPTED
        return _failed(error)


def _failed(error: Exception) -> int:
    """Print what went wrong; return 2 for what a person has to correct, and 1 for everything else."""
    if isinstance(error, Impossible):
        lines = (f"deltabench: {error.args[0]}", *(f"  {line}" for line in error.lines))
        print("\n".join(map(plain, lines)), file=sys.stderr)
        return 2
    if isinstance(error, UsageError):
        print(f"deltabench: {_sentence(error)}", file=sys.stderr)
        return 2
    if isinstance(error, Halted):
        print(f"deltabench: {_sentence(error)}", file=sys.stderr)
        return 1
    if line := _disk(error):
        print(f"deltabench: {_sentence(UsageError(line))}", file=sys.stderr)
        return 1
    return _report(error)


def _reopen() -> None:
    """Open standard streams that are closed (`2>&-`, a daemon) on the null device, here and in child processes.

    Otherwise the next file that is opened would get the number of a stream, and printed text would go into that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))  # it stays open


def _sentence(error: Exception) -> str:
    """Return the message on one line of at most 1500 characters."""
    text = plain(" ".join(str(error).split()))
    return text if len(text) <= 1500 else f"{text[:700]} … {text[-700:]}"


def verbs() -> tuple[str, ...]:
    """Return the verbs in the order of the help, without reading their pages."""
    names = [path.stem for path in VERBS.glob("*.py") if not path.stem.startswith("_")]
    return tuple(sorted(names, key=lambda verb: (ORDER.index(verb) if verb in ORDER else len(ORDER), verb)))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        from harness.store.provenance import own_version

        print(f"deltabench {own_version()}")
        return 0
    verb = words[0]
    if verb not in verbs():
        raise UsageError(f"there is no verb {verb!r}.{near(verb, verbs())}")
    from harness import network  # imported late, so that help and errors come fast
    from harness.store.store import protect

    page = importlib.import_module(f"harness.cli.commands.{verb}")
    parser = _Parser(prog=f"deltabench {verb}", description=page.__doc__, formatter_class=_Plain)
    parser.add_argument("--config-dir", metavar="DIR", help="your conf folder, searched before ours")
    parser.add_argument("--read-only", action="store_true", help="write nothing to the store")
    page.add_arguments(parser)
    given = _joined(words[1:])
    arguments = parser.parse_intermixed_args(_name_first(given) if parser.begins_with_a_name() else given)
    protect(arguments.read_only)
    if arguments.config_dir is not None:
        from harness.config import conf_files

        conf_files.use(arguments.config_dir)
    with nullcontext() if verb in FETCHING else network.forbidden():
        return int(page.main(arguments))


def _name_first(words: Sequence[str]) -> list[str]:
    """Return the words with those like store=DIR that stand before a key or an exhibit behind all others."""
    before = list(itertools.takewhile(lambda word: "=" in word and not word.startswith("-"), words))
    return [*words[len(before) :], *before]


def _joined(words: Sequence[str]) -> list[str]:
    """Return the words, with a value such as -1GiB or -x joined to its option: argparse would take it for an option.

    Every option of ours has two dashes; -h is argparse's own.
    """
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        option = before.startswith("--") and "=" not in before and before != "--"
        value = option and word != "-h" and re.match(r"-[^-]", word)
        joined[-1:] = [f"{before}={word}"] if value else [*joined[-1:], word]
    return joined


class _Plain(argparse.RawDescriptionHelpFormatter):
    """A formatter that keeps the line breaks of the help text."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like all other usage errors."""

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument. Without a default argparse takes one of any number of words for required."""
        if options.get("nargs") == "*":
            options.setdefault("default", [])
        return super().add_argument(*names, **options)

    def begins_with_a_name(self) -> bool:
        """Return whether the first word of the command is a single one, such as a key or an exhibit."""
        words = [action for action in self._actions if not action.option_strings]
        return bool(words) and words[0].nargs in (None, "?")

    def error(self, message: str) -> NoReturn:
        """Raise the error as a UsageError."""
        raise UsageError(f"{message}. See `{self.prog} --help`.")


def _help() -> str:
    width = max(map(len, verbs()))
    listed = "\n".join(f"  {verb:<{width}}  {_summary(verb)}" for verb in verbs())
    return (
        "deltabench VERB [key=value …]\n\n"
        "Reruns the comparisons of the delta-tuning literature: methods x models x tasks x seeds.\n\n"
        f"{listed}\n\n"
        "  deltabench run method=lora model=micro-t5-nano task=micro/sentiment seed=0\n"
        "  deltabench sweep method=full,lora,adapter 'task=micro/*' seed=0,1,2\n\n"
        "`deltabench VERB --help` describes one verb."
    )


def _summary(verb: str) -> str:
    """Return the first line of the verb's page, without importing the page."""
    text = ast.get_docstring(ast.parse((VERBS / f"{verb}.py").read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].rstrip(".")


def _disk(error: Exception) -> str:
    """Return a sentence about an error of the system or of a disk; "" for any other error."""
    from harness import failure

    file, code = getattr(error, "filename", None), failure.without_room(error)
    if code is not None:
        return f"{file or 'a file'}: it cannot be written ({os.strerror(code)}). {failure.REMEDIES[code]}."
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {file}' if file else ''}"
    return failure.message(error) if failure.is_disk_error(error) else ""


def _report(error: Exception) -> int:
    """Print one line about an error of deltabench itself, write its trace to a file, and return 1."""
    with tempfile.NamedTemporaryFile("w", prefix="deltabench-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print(f"deltabench: this should not happen: {text} (details in {file.name})", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
