"""Attach methods to backbones without weights (meta device), so that a bad target costs no training."""

from collections.abc import Sequence

import methods
from harness import models, objectives, text
from harness.config import MethodConfig, ModelConfig
from harness.errors import UsageError

PLACEHOLDER_LABELS = 2


def preflight(pairs: Sequence[tuple[MethodConfig, ModelConfig, str]]) -> list[str | None]:
    """For each (method, model, objective): what a person has to put right, or None."""
    return [_problem(*pair) for pair in pairs]


def _problem(method: MethodConfig, model: ModelConfig, objective: str) -> str | None:
    try:
        head = objectives.head(objective, PLACEHOLDER_LABELS)
        made, backbone = methods.make(method), models.outline(model, head)
        text.room(backbone.config, made.tokens_added())
        made.attach(backbone)
    except UsageError as error:
        return str(error)
    return None
