"""Time the steps of cells that differ in their learning rate alone: in one pass, and one cell after the other.

python -m tests.benchmarks.one_pass [--cells 4] [--rounds 5] [--device cpu] [method=lora model=micro-t5-nano …]

The two sides alternate in one process on the same rows. Printed are the median milliseconds of a step of all cells, and
the ratio to the first side with its range over the rounds.
"""

import argparse

from harness.experiments.grids import grid
from harness.gpu_day.on_device import one_pass_steps
from harness.store import identity

DEFAULT = {"method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment", "seed": 0}


def main() -> None:
    """Print the times of the two sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("choice", nargs="*")
    given = parser.parse_args()
    [cell] = grid.expand([{**DEFAULT, **dict(word.split("=", 1) for word in given.choice)}])
    measured = one_pass_steps.measure(identity.to_json(cell), given.cells, given.device, given.rounds)
    for side in measured["sides"]:
        ratio = side["ratio"]
        spread = f"x{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        print(f"{side['way']}: {side['ms']['median']:.1f} ms, {spread}")


if __name__ == "__main__":
    main()
