"""A count of a model's parameters by name, which the laws compare with closed forms. The product counts by identity."""

from collections.abc import Sequence

from torch import nn

from methods.backbone.trainable_parameters import Delta


def count(model: nn.Module, heads: Sequence[str] = ()) -> dict[str, int]:
    """Return numbers of parameters; each tensor counts once.

    delta: trainable parameters outside the heads. head: everything under a module name in `heads`. backbone: the model
    without heads and without inserted modules.
    """
    added = {id(p) for module in model.modules() if isinstance(module, Delta) for p in module.parameters()}
    totals = {"delta": 0, "head": 0, "backbone": 0}
    for name, p in model.named_parameters():
        if any(name.startswith(f"{head}.") for head in heads):
            totals["head"] += p.numel()
            continue
        totals["delta"] += p.numel() if p.requires_grad else 0
        totals["backbone"] += 0 if id(p) in added else _size(p)
    return totals


def _size(p: nn.Parameter) -> int:
    """Return how many numbers a parameter stands for; in four bits, each byte has two."""
    state = getattr(p, "quant_state", None)
    return p.numel() if state is None else int(state.shape.numel())
