"""`method.budget=0.5%`: the largest size whose closed form stays within a share of the backbone's parameters.

The size is a rank, bottleneck, prompt length, dimension or number of layers; a fraction is the share itself. It is for
comparisons at equal trainable share. The size is solved when the backbone is there, because it depends on it, and
stands in the record's notes.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from harness.errors import NotApplicable, UsageError
from methods.attachment.attachable import Attachable
from methods.backbone.sizes import Shape
from methods.backbone.sizes import shape as shape_of

GAP = 64  # sizes in a row that a method may refuse (a bottleneck that PHM cannot divide, ...)


class Budgeted:
    """A method whose `field` is not known before it sees a backbone. Afterwards it behaves as that method."""

    def __init__(self, build: Callable[[Any], Attachable], field: str, budget: float, whole: bool) -> None:
        self.build, self.field, self.budget, self.whole = build, field, budget, whole
        self.solved: Attachable | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.solved is None:
            raise AttributeError(f"{name}: the budget is solved when the method is attached")
        return getattr(self.solved, name)

    def settle(self, model: nn.Module) -> Attachable:
        """Solve for the backbone, which may be on the meta device, and return the method."""
        self.solved = self.solve(shape_of(model))
        return self.solved

    def attach(self, model: nn.Module) -> None:
        """Solve for the backbone and attach the method to it."""
        solved = self.settle(model)
        try:
            solved.attach(model)
        except NotApplicable:
            raise
        except UsageError as error:
            value = getattr(solved, self.field)
            raise UsageError(
                f"method.budget={self.budget:.4g} gives {self.field} {value:.4g}, which is not possible here: {error}"
            ) from error

    def tokens_added(self) -> int:
        """Return the number of positions that the method adds; 0 before it is solved."""
        return self.solved.tokens_added() if self.solved else 0

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {**self._known().notes(model), f"solved_{self.field}": getattr(self._known(), self.field)}

    def closed_form(self, shape: Shape) -> int:
        return self.solve(shape).closed_form(shape)

    def _known(self) -> Attachable:
        assert self.solved is not None, "attached before"
        return self.solved

    def solve(self, shape: Shape) -> Attachable:
        """Return the method with the largest size within the budget, or with the budget itself where it is a share.

        Raise UsageError where even the smallest size is above it.
        """
        if not self.whole:
            return self.build(self.budget)
        limit = self.budget * shape.parameters

        def fits(size: int) -> bool:
            method = self._near(size)
            try:
                return method is not None and method.closed_form(shape) <= limit
            except UsageError:  # more than this backbone has
                return False

        low, high = 0, GAP
        while fits(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        method = self._near(low)
        if method is None:
            least = next(m for size in range(1, 2 * GAP) if (m := self._near(size)) is not None)
            share = least.closed_form(shape) / shape.parameters
            raise UsageError(
                f"method.budget={self.budget:.3g}: {least.name} needs at least {share:.2g} of this backbone "
                f"({self.field} {getattr(least, self.field)})"
            )
        return method

    def _near(self, size: int) -> Attachable | None:
        """Return the method at the largest size that it accepts, from `size` down, or None."""
        for candidate in range(size, max(0, size - GAP), -1):
            try:
                return self.build(candidate)
            except UsageError:
                continue
        return None
