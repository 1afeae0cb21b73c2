"""The time of training steps: all of them, and the steady ones after the warm-up. Torch is not imported."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WARM_UP_STEPS = 5  # excluded from the time per step, because allocators and caches fill
PERCENTILES = (5, 25, 75, 95)


@dataclass
class Steps:
    """The optimiser steps of a run, one entry each. seconds: the whole step, `data_s` (making batches) included."""

    seconds: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    data_s: float = 0.0

    def add(self, seconds: float, examples: int, tokens: int) -> None:
        """Add one step."""
        self.seconds.append(seconds)
        self.examples.append(examples)
        self.tokens.append(tokens)

    @property
    def warm_up(self) -> int:
        """Return the number of warm-up steps, which do not count as steady; at least one step does."""
        return min(WARM_UP_STEPS, max(len(self.seconds) - 1, 0))

    def steady(self, amounts: Sequence[int]) -> float | None:
        """Return an amount per second, without the warm-up; None without a step."""
        return _per(sum(amounts[self.warm_up :]), sum(self.seconds[self.warm_up :]))

    def summary(self) -> dict[str, Any]:
        """Return seconds, milliseconds and rates per second; `steady_*` and `step_ms` exclude the warm-up."""
        total = sum(self.seconds)
        return {
            "train_s": total,
            "data_s": self.data_s,
            "steps": len(self.seconds),
            "warm_up_steps": self.warm_up,
            "step_ms": self._milliseconds(),
            "examples_per_s": _per(sum(self.examples), total),
            "tokens_per_s": _per(sum(self.tokens), total),
            "steady_examples_per_s": self.steady(self.examples),
            "steady_tokens_per_s": self.steady(self.tokens),
        }

    def _milliseconds(self) -> dict[str, float] | None:
        """Return the median and percentiles of steady steps in milliseconds; None without a step."""
        if not self.seconds:
            return None
        steady = sorted(self.seconds[WARM_UP_STEPS:] or self.seconds)
        ranked = {f"p{percent}": _ms(percentile(steady, percent / 100)) for percent in PERCENTILES}
        return {"median": _ms(statistics.median(steady)), **ranked}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the sorted value below which `share` of the values lie (no interpolation)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _per(amount: float, seconds: float) -> float | None:
    """Return an amount per second; None for no time."""
    return amount / seconds if seconds else None


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
