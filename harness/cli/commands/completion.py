"""Print what makes a shell complete `deltabench`: verbs, exhibits, and the names behind method=, model= and task=.

deltabench completion bash      append it to ~/.bashrc
deltabench completion zsh       append it to ~/.zshrc
deltabench completion fish      write it to ~/.config/fish/completions/deltabench.fish

The script asks `deltabench completion words LINE` for the words that may end a command line.
"""

import argparse
from collections.abc import Sequence

from harness.cli import dispatch
from harness.errors import UsageError, near

SCRIPTS = {
    "bash": """_deltabench() {
  local line="${COMP_LINE:0:COMP_POINT}" cut="${COMP_WORDS[COMP_CWORD]}" word
  local whole="${line##* }" before
  [[ "$cut" == "=" ]] && cut=""
  before="${whole%"$cut"}"
  COMPREPLY=()
  while IFS= read -r word; do
    [[ "$word" == "$whole"* ]] && COMPREPLY+=("${word#"$before"}")
  done < <(deltabench completion words "$line" 2>/dev/null)
  [[ "${COMPREPLY[0]}" == *= ]] && compopt -o nospace
}
complete -F _deltabench deltabench
""",
    "zsh": """_deltabench() {
  local -a words_here
  words_here=("${(@f)$(deltabench completion words "${LBUFFER}" 2>/dev/null)}")
  compadd -S '' -- $words_here
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _deltabench deltabench
""",
    "fish": "complete -c deltabench -f -a '(deltabench completion words (commandline -cp) 2>/dev/null)'\n",
}
NAMED = {"reproduce": "exhibits", "check": "exhibits", "status": "exhibits", "report": "exhibits", "view": "exhibits"}
LISTED = ("methods", "models", "tasks", "recipes", "exhibits", "views", "claims", "launchers", "probes", "fields")
AXES = ("method", "model", "task", "recipe", "launcher")
WORDS = ("scale", "seed", "store")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench completion`."""
    parser.add_argument("shell", metavar="SHELL", help=", ".join(SCRIPTS))
    parser.add_argument("line", nargs="?", default="", help=argparse.SUPPRESS)


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench completion` and return its exit code."""
    if arguments.shell == "words":
        print("".join(f"{word}\n" for word in words(arguments.line)), end="")
        return 0
    if arguments.shell not in SCRIPTS:
        raise UsageError(f"there is no completion for {arguments.shell!r}.{near(arguments.shell, list(SCRIPTS))}")
    print(SCRIPTS[arguments.shell], end="")
    return 0


def words(line: str) -> list[str]:
    """Return every word that may stand at the end of a command line, whole. line: what was typed, up to the cursor."""
    typed = line.split()[1:]
    last = typed.pop() if typed and not line.endswith((" ", "\t")) else ""
    if not typed:
        return [verb for verb in dispatch.verbs() if verb.startswith(last)]
    verb, (axis, equals, value) = typed[0], last.partition("=")
    if equals:
        before, comma, part = value.rpartition(",")
        return [f"{axis}={before}{comma}{name}" for name in _names(axis) if name.startswith(part)]
    first = {"list": LISTED, "completion": tuple(SCRIPTS)}.get(verb, ())
    if NAMED.get(verb) == "exhibits":
        first = _exhibits()
    return [word for word in (*first, *(f"{name}=" for name in (*AXES, *WORDS))) if word.startswith(last)]


def _names(axis: str) -> Sequence[str]:
    """Return the choices of an axis; none of another word, such as a seed."""
    from harness.experiments.grids import options

    plain = axis.removeprefix("+")
    return (
        sorted(options.names(plain)) if plain in AXES[:4] else ("quick", "embedded", "paper") if axis == "scale" else ()
    )


def _exhibits() -> tuple[str, ...]:
    from harness.config import conf_files
    from harness.experiments import exhibits

    return exhibits.names(conf_files.folders()[:-1])
