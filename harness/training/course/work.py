"""Everything that one training works with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from harness.config.schema import RecipeConfig
from harness.measurement.meter import Meter
from harness.store.attempt_folder import AttemptFolder
from harness.training.checkpoint import Keeper
from harness.training.frozen.remembered import Remembered
from harness.training.objectives.base import Objective
from harness.training.score import Split
from harness.training.shared.compiled import Compiled
from methods.base import Method
from tasks.base import Task


@dataclass
class Work:
    """Everything one training run works with.

    start_flops: floating-point operations before the first step, if any. reuse_frozen: whether a frozen part of the
    model remembers its outputs; `remembered` is what it remembers. compiled: the steps as compiled code, if any.
    """

    model: nn.Module
    method: Method
    objective: Objective
    task: Task
    splits: Mapping[str, Split]
    recipe: RecipeConfig
    folder: AttemptFolder
    meter: Meter
    keeper: Keeper = field(default_factory=Keeper)
    curve: list[dict[str, Any]] = field(default_factory=list)
    start_flops: int | None = None
    reuse_frozen: bool = False
    compiled: Compiled | None = None
    remembered: Remembered | None = None

    @property
    def evaluated(self) -> list[str]:
        """Return the names of the splits that every evaluation scores: validation and the test sets."""
        return ["validation", *self.task.splits.tests]
