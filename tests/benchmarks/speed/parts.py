"""The parts of the suite: what is measured by itself, in a process of its own. Torch is not imported.

They are not in __main__.py, because a new process cannot import what stands there.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.benchmarks.speed import machine
from tests.benchmarks.speed.shapes import SHAPES


@dataclass(frozen=True)
class Part:
    """One measurement. kind: its "module:function" in this folder. alternations: how many, where none are chosen."""

    name: str
    kind: str
    shape: str
    method: str
    alternations: int

    @property
    def file(self) -> str:
        """Return the name of its file."""
        return f"{self.name.replace('/', '-')}.json"

    def measure(self, alternations: int, quick: bool) -> dict[str, Any]:
        """Return the part's figures with the machine, the date and the load."""
        module, _, function = self.kind.partition(":")
        about = {"part": self.name, "begun": machine.now(), "load_before": machine.load(), "alternations": alternations}
        given = (self.shape, self.method, alternations, quick)
        found = getattr(importlib.import_module(f"{__package__}.{module}"), function)(*given)
        after = {"ended": machine.now(), "load_after": machine.load(), "machine": machine.machine()}
        return {**about, **after, "figures": found}


def _parts() -> Iterator[Part]:
    """Yield all parts, the quickest shapes first."""
    for name, shape in SHAPES.items():
        turns = 5 if name.endswith("60m") else 9  # a step of a small backbone is short, and its figures vary more
        yield from (Part(f"step/{name}/{method}", "steps:measure", name, method, turns) for method in shape.methods)
    nano = "t5-nano"
    yield from (Part(f"cell/{nano}/{method}", "cells:measure", nano, method, 5) for method in ("lora", "full"))
    yield Part(f"grid/{nano}", "cells:grid", nano, "", 1)
    yield Part("start-up", "start_up:measure", nano, "", 5)
    for name in (nano, "t5-60m", "llama-60m"):
        yield from (
            Part(f"memory/{name}/{method}", "peak_memory:measure", name, method, 1) for method in ("lora", "full")
        )


PARTS = tuple(_parts())
ORDER = [part.name for part in PARTS]
QUICK = ("step/t5-nano/lora", "cell/t5-nano/lora", "grid/t5-nano", "start-up", "memory/t5-nano/lora")
"""One part of each kind: those of `--quick`."""


def chosen(patterns: str | None, quick: bool) -> list[Part]:
    """Return the parts that match. Raise SystemExit for a pattern that matches none."""
    parts = [part for part in PARTS if not quick or part.name in QUICK]
    if patterns is None:
        return parts
    words = patterns.split(",")
    for word in words:
        if not any(fnmatchcase(part.name, word) for part in parts):
            sys.exit(f"--only {word}: no part has this name. Parts are {', '.join(part.name for part in parts)}.")
    return [part for part in parts if any(fnmatchcase(part.name, word) for word in words)]


def there(path: Path, alternations: int) -> bool:
    """Return whether a part was measured before, by this commit and with as many alternations."""
    if not path.is_file():
        return False
    found = json.loads(path.read_text())
    return (found["machine"]["commit"], found["alternations"]) == (machine.machine()["commit"], alternations)
