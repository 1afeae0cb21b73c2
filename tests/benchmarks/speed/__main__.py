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
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness import assets
from harness.files import atomic_files
from tests.benchmarks.speed import report
from tests.benchmarks.speed.parts import ORDER, chosen, there


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
