"""Seconds until a verb of the command line has answered, and until the libraries of a Trainer's script are imported."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from harness import assets
from harness.measurement.turns import in_turn, spread

PYTHON: dict[str, list[str]] = {
    "python -c 'import torch'": ["-c", "import torch"],
    "python -c 'from transformers import Trainer; import peft'": [
        "-c",
        "from transformers import Trainer; import peft",
    ],
}
VERBS = (
    ("--help",),
    ("list", "methods"),
    ("status",),
    ("plan", "method=lora"),
    ("table", "method=lora"),
)


def measure(shape: str, method: str, alternations: int, quick: bool = False) -> dict[str, Any]:
    """Return the seconds of each command, each run once in every alternation. shape, method: unused."""
    with tempfile.TemporaryDirectory() as store:
        stored = {" ".join(["deltabench", *words]): ["-m", "harness.cli", *words] for words in VERBS}
        takers = ("status", "plan", "table")
        commands = {
            name: [*words, f"store={store}/none"] if words[2:] and words[2] in takers else words
            for name, words in stored.items()
        } | PYTHON
        commands = dict(list(commands.items())[:2]) if quick else commands
        for words in commands.values():  # the code of some modules may not be compiled yet
            _seconds(words)
        found: dict[str, list[float]] = {name: [] for name in commands}
        for alternation in range(alternations):
            for name in in_turn(list(commands), alternation):
                found[name].append(_seconds(commands[name]))
    return {"seconds": {name: spread(values) for name, values in found.items()}}


def _seconds(words: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=assets.root(), capture_output=True, check=False)
    return time.perf_counter() - started
