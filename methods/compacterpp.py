"""Compacter++ (Karimi Mahabadi et al. 2021, arXiv 2106.04647): Compacter after feed-forward only.

Parameters: 2 r (d + R) + R + d for each adapter and n^3 once, as in `compacter`, of half as many adapters.
Deviations: those of `compacter`.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods.compacter import Compacter


@dataclass(frozen=True)
class CompacterPlusPlus(Compacter):
    """Compacter after feed-forward only."""

    name: ClassVar[str] = "compacterpp"

    @property
    def places(self) -> tuple[str, ...]:
        """Return the sublayers that get a network: feed-forward only."""
        return ("ffn", "cross") if self.cross else ("ffn",)
