"""QDoRA (answer.ai; Liu et al. 2024, arXiv 2402.09353, section 6.1): DoRA on a frozen base in four or eight bits.

Parameters: those of `dora`. The base is quantised as in `qlora`, whose start, limits and deviations hold here too.
"""

from dataclasses import dataclass
from typing import ClassVar

from methods.dora import DoRA
from methods.qlora import OnQuantised


@dataclass(frozen=True)
class QDoRA(OnQuantised, DoRA):
    """Magnitudes and low-rank directions on quantised linears."""

    name: ClassVar[str] = "qdora"
