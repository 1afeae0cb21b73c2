"""The time of training steps: all of them, and the steady ones after the warm-up. Torch-free."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WARM_UP_STEPS = 5  # not in the time per step: allocators and caches fill
PERCENTILES = (5, 25, 75, 95)


@dataclass
class Steps:
    """One entry per optimiser step. seconds: the whole step, `data_s` (making batches) included."""

    seconds: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    data_s: float = 0.0

    def add(self, seconds: float, examples: int, tokens: int) -> None:
        self.seconds.append(seconds)
        self.examples.append(examples)
        self.tokens.append(tokens)

    @property
    def warm_up(self) -> int:
        """How many steps at the start do not count as steady; at least one is left."""
        return min(WARM_UP_STEPS, max(len(self.seconds) - 1, 0))

    def steady(self, amounts: Sequence[int]) -> float | None:
        """Per second, without the warm-up."""
        return _per(sum(amounts[self.warm_up :]), sum(self.seconds[self.warm_up :]))

    def told(self) -> dict[str, Any]:
        """Seconds, milliseconds and per second; `steady_*` and `step_ms` leave the warm-up out."""
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
        if not self.seconds:
            return None
        steady = sorted(self.seconds[WARM_UP_STEPS:] or self.seconds)
        ranked = {f"p{one}": _ms(percentile(steady, one / 100)) for one in PERCENTILES}
        return {"median": _ms(statistics.median(steady)), **ranked}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, the one below which `share` of them lie (no interpolation)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _per(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds else None


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
