"""Time our side beside transformers' Trainer with PEFT and a bare PEFT loop.

python -m tests.benchmarks.speed                        everything that is not there yet (about twenty minutes)
python -m tests.benchmarks.speed --only 'step/*-nano/*' these parts, anew; patterns, with commas
python -m tests.benchmarks.speed --quick --out DIR      every kind of part once, some steps of the smallest shape
python -m tests.benchmarks.speed --table                draw the table anew from what is there

Each part runs in a process of its own and is written as soon as it has finished, so a run that was interrupted goes on
where it ended. A part whose two sides turn out to compute something different is refused: its file says so, and has no
times. Every ratio is ours / other, so below 1 ours is faster (or smaller).
"""

import argparse
import importlib
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness import assets, atomic_files
from tests.benchmarks.speed import machine, report
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
        yield from (Part(f"step/{name}/{method}", "steps:measure", name, method, 5) for method in shape.methods)
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


def main(words: Sequence[str]) -> int:
    """Measure the parts and draw the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART,…", help="measure these parts anew; patterns are allowed")
    parser.add_argument("--quick", action="store_true", help="some steps on the smallest shape, once")
    parser.add_argument("--alternations", type=int, metavar="N", help="how often the sides take turns")
    parser.add_argument("--out", type=Path, default=assets.reference() / "bench", metavar="DIR")
    parser.add_argument("--table", action="store_true", help="measure nothing, and draw the table")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    for part in () if given.table else chosen(given.only, given.quick):
        alternations = given.alternations or (1 if given.quick else part.alternations)
        path = given.out / part.file
        if given.only is None and there(path, alternations):
            print(f"{part.name}: measured before by this commit")
            continue
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found = process.submit(part.measure, alternations, given.quick).result()
        atomic_files.write_json(path, found)
        print(report.lines(found), flush=True)
        report.write(given.out, ORDER)
    report.write(given.out, ORDER)
    print(f"table: {given.out / report.TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
