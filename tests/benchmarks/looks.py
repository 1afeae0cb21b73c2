"""The boundary over several looks: its levels, and how often it gives wrong verdicts, both simulated.

python tests/benchmarks/looks.py levels [paths]     the table LEVELS of harness/analysis/study/more_seeds/looks.py
python tests/benchmarks/looks.py errors [paths]     wrong verdicts over the whole path, beside those without a boundary

A path is the t statistics of one comparison after 3, 5, 8, … seeds, where the truth lies at the margin. The level of a
look is the p that lets its share of the error through, among the paths that no look before has decided.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from scipy import stats

from harness.analysis.study.more_seeds import looks

ERRORS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3)
CHUNK = 100_000


def statistics_at_looks(random: np.random.Generator, paths: int, normal: bool = False) -> np.ndarray:
    """[paths, looks]: the absolute t (or normal) statistics of each path."""
    values = random.standard_normal((paths, looks.LOOKS[-1]), dtype=np.float32).astype(np.float64)
    ends = np.array(looks.LOOKS)
    sums, squares = values.cumsum(axis=1)[:, ends - 1], (values**2).cumsum(axis=1)[:, ends - 1]
    spread = 1.0 if normal else np.sqrt((squares - sums**2 / ends) / (ends - 1))
    return np.abs(sums) / np.sqrt(ends) / spread


def all_paths(paths: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([statistics_at_looks(random, CHUNK).astype(np.float32) for _ in range(paths // CHUNK)])


def levels(drawn: np.ndarray, error: float) -> Iterator[float]:
    """Yield the level of p at each look, ascending."""
    left = np.ones(len(drawn), dtype=bool)
    for look, share in enumerate(looks.shares()):
        through = max(1, round(error * share * len(drawn)))
        open_paths = drawn[left, look]
        edge = float(np.partition(open_paths, len(open_paths) - through)[len(open_paths) - through])
        level = float(2 * stats.t.sf(edge, looks.LOOKS[look] - 1))
        yield max(level, error * share) if look else error * share  # nothing comes before the first look
        left &= drawn[:, look] < edge


def wrong(drawn: np.ndarray, limits: np.ndarray, df: np.ndarray | None) -> float:
    """The share of the paths with a p below the limit of its look, at any look. df: None for normal statistics."""
    edges = stats.norm.isf(limits / 2) if df is None else stats.t.isf(limits / 2, df)
    return float((drawn > edges).any(axis=1).mean())


def main(what: str, paths: int) -> None:
    if what == "levels":
        drawn = all_paths(paths, seed=0)
        for error in ERRORS:
            print(f"    {error:g}: ({', '.join(f'{level:.3g}' for level in levels(drawn, error))}),", flush=True)
        return
    df = np.array(looks.LOOKS) - 1.0
    drawn = all_paths(paths, seed=1)
    normal = statistics_at_looks(np.random.default_rng(2), min(paths, 500_000), normal=True)
    for error in (0.05, 0.01, 0.005, 0.001):
        limits = np.array([looks.level(error, look) for look in range(len(df))])
        print(
            f"nominal {error:g}: Student's t {wrong(drawn, limits, df):.5f}, normal {wrong(normal, limits, None):.5f}"
        )
    naive = np.full(len(df), 0.05)
    for last in range(len(df)):
        seeds, rate = looks.LOOKS[last], wrong(drawn[:, : last + 1], naive[: last + 1], df[: last + 1])
        print(f"a level of 5 % at every look up to {seeds} seeds: {rate:.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "errors", int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
