"""How a protocol has a model read and compute: the settings of an objective. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import NotApplicable

if TYPE_CHECKING:
    import torch

    from harness.config.schema import Cell

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "seq2seq": ("beams", "option_score"),
    "causal": ("beams", "option_score", "loss_on"),
    "masked": (),
    "classifier": (),
}
"""Objective -> the fields of `Reading` that it can follow."""

WITHOUT_END = "_without_end"


@dataclass(frozen=True)
class Reading:
    """The settings of an objective. The fields of RecipeConfig and TaskConfig with these names explain them."""

    loss_on: str = "answer"
    beams: int = 1
    option_score: str = "sum"
    precision: str = "fp32"
    full_length: bool = False
    """Generate the largest number of tokens of an answer, also after an end token. A timing of two models needs it."""

    @classmethod
    def of(cls, cell: "Cell") -> "Reading":
        """Return the reading of a cell."""
        return cls(cell.recipe.loss_on, cell.task.beams, cell.task.option_score, cell.recipe.precision)

    def choose(
        self, sums: "torch.Tensor", options: "torch.Tensor", ends: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """Return the best option of each row: [B].

        sums: [B, C] log-likelihoods of the tokens `options`: [B, C, U], negative where there is none.
        ends: [B, C] the part of each sum that its end token has; nan where an option was cut before it.
        """
        counts = (options >= 0).sum(dim=2)
        if self.option_score.endswith(WITHOUT_END) and ends is not None:
            sums, counts = sums - ends.nan_to_num(0.0), counts - (~ends.isnan()).long()
        if self.option_score.startswith("mean"):
            sums = sums / counts.clamp(min=1)
        return sums.argmax(dim=1)

    def check(self, objective: str) -> None:
        """Raise NotApplicable for a setting that is not the usual one, where `objective` cannot follow it."""
        for name, where in (("loss_on", "recipe"), ("beams", "task"), ("option_score", "task")):
            value = getattr(self, name)
            if name not in SETTINGS[objective] and value != getattr(USUAL, name):
                able = ", ".join(other for other, names in SETTINGS.items() if name in names)
                raise NotApplicable(f"{where}.{name}={value}: objective {objective} cannot do that; these can: {able}.")


USUAL = Reading()
"""The reading where a protocol sets nothing."""
