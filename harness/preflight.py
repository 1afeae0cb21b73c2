"""What can be known to go wrong before anything is trained: the device, and each method on each backbone.

Methods are attached to backbones without weights (meta device), so that a bad target costs no training.
"""

from collections.abc import Sequence

import torch

import methods
from harness import models, objectives, text
from harness.config import MethodConfig, ModelConfig
from harness.errors import UsageError

PLACEHOLDER_LABELS = 2
DEVICES = ("cpu", "cuda", "mps", "xpu")


def preflight(pairs: Sequence[tuple[MethodConfig, ModelConfig, str]], device: str = "auto") -> list[str | None]:
    """For the device, then for each (method, model, objective): what a person has to put right, or None."""
    return [_no_device(device), *(_problem(*pair) for pair in pairs)]


def _no_device(wanted: str) -> str | None:
    if wanted == "auto":
        return None
    try:
        if torch.device(wanted).type not in DEVICES:
            raise ValueError(f"a cell runs on one of {', '.join(DEVICES)}")
        torch.empty(0, device=wanted)
    except Exception as error:  # another kind for each way of not being there: no driver, no build, no such number
        reason = str(error).splitlines()[0]
        return f"device={wanted}: it cannot be used here ({reason:.150}). Choose device=auto or device=cpu."
    return None


def _problem(method: MethodConfig, model: ModelConfig, objective: str) -> str | None:
    try:
        head = objectives.head(objective, PLACEHOLDER_LABELS)
        made, backbone = methods.make(method), models.outline(model, head)
        text.room(backbone.config, made.tokens_added())
        made.attach(backbone)
    except UsageError as error:
        return str(error)
    return None
