"""PHM-adapter (Karimi Mahabadi et al. 2021, arXiv 2106.04647, after Zhang et al. 2021): an adapter of full B_i.

Its two matrices are sums of n Kronecker products, W = sum_i A_i (x) B_i with A_i: [n, n] (equation 4).

Parameters: 2 (d R / n + n^3) + R + d for each adapter, after attention and after feed-forward: every matrix has A_i of
its own. n is `division`; it must divide d and R. Starts and deviations are those of `compacter`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from methods.base import Delta, Rule
from methods.compacter import Hypercomplex


@dataclass(frozen=True)
class PHMAdapter(Hypercomplex):
    """Adapters of Kronecker products, each with rules of its own."""

    name: ClassVar[str] = "phm"

    def factory(self, like: torch.Tensor, width: int) -> Callable[[], Delta]:
        """Return a function that builds one adapter with rules of its own. like: a parameter of any shape."""
        self.check(width)
        n = self.division
        return lambda: self.adapter(like, width, (Rule(like, n), Rule(like, n)), 0)

    def size(self, width: int) -> int:
        """Return the number of parameters of a network."""
        n = self.division
        return 2 * (width * self.bottleneck // n + n**3) + self.bottleneck + width
