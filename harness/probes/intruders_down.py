"""The model with its intruder dimensions scaled down: its loss on held-out pretraining text, and its score.

Shuttleworth et al. 2024 (arXiv 2410.21228): an intruder is a leading left singular vector of a tuned matrix that is
unlike all of the pretrained ones (spectrum.py, here at its threshold in the lines for people). With a factor f the
matrix W becomes W + (f - 1) sum s_i u_i v_i^T over its intruders i. All intruders among the first ten vectors of every
matrix are scaled together.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.probes._finished_cell import Finished

FACTORS = (1.0, 0.9, 0.7, 0.5, 0.3, 0.0)
"""1 is the tuned model itself."""


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return the `factors`; at each the `pretraining_loss`, in nats per word, and the `score` on the first reported
    set; the number of `intruders` in all matrices; and `plain_loss`, of the bare backbone.
    """
    from harness.probes.pretraining.held_out_loss import HeldOut
    from harness.training.score import score

    try:
        text = HeldOut(finished, device)
        finished.method.merge(finished.model)
    except NotApplicable as error:
        return {"factors": [], "intruders": None, "why_null": {"factors": str(error)}}
    parts = list(_intruders(finished.plain, finished.model))
    losses, scores = [], []
    for factor in FACTORS:
        _scale(parts, factor)
        losses.append(text.loss(finished.model))
        metric, tokens = finished.task.metric, finished.cell.recipe.evaluation_tokens
        scores.append(score(finished.model, finished.objective, finished.reported, metric, tokens).figures[metric])
    count = sum(number for _, _, _, number in parts)
    result = {"factors": list(FACTORS), "pretraining_loss": losses, "score": scores, "intruders": count}
    return {**result, "plain_loss": text.loss(finished.plain), "why_null": {}}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per factor."""
    lines = [
        f"intruders at {factor:g} of their size: loss on pretraining text {loss:.3f}, score {100 * score:.1f}"
        for factor, loss, score in zip(
            result["factors"], result.get("pretraining_loss", ()), result.get("score", ()), strict=True
        )
    ]
    count = [] if result.get("intruders") is None else [f"{result['intruders']} intruder dimensions in all matrices"]
    return count + lines + [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]


def part(before: "torch.Tensor", after: "torch.Tensor", epsilon: float) -> tuple["torch.Tensor", int]:
    """Return the sum of s_i u_i v_i^T over the intruders of `after`, [d_out, d_in], and their number.

    before, after: [d_out, d_in].
    """
    import torch

    from harness.probes import spectrum

    u, s, v = torch.linalg.svd(after, full_matrices=False)
    likeness = torch.tensor(spectrum.likeness(before, after), device=after.device)
    at = (likeness < epsilon).nonzero().flatten()
    return (u[:, at] * s[at]) @ v[at], len(at)


def _intruders(
    plain: "nn.Module", tuned: "nn.Module"
) -> Iterator[tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", int]]:
    """Yield (weight, its value, its intruders' part, their number) of every matrix that has intruders."""
    from harness.probes import _weight_pairs, spectrum
    from methods.backbone import roles
    from methods.backbone.targets import LINEAR_ROLES

    linears = {name: linear for named in roles.by_role(tuned, LINEAR_ROLES).values() for name, linear in named.items()}
    for place, before, after in _weight_pairs.pairs(plain, tuned, LINEAR_ROLES):
        if not bool(before.any()):
            continue
        intruding, count = part(before, after, spectrum.EPSILON)
        if count:
            weight = linears[place.name].weight  # [d_out, d_in], a view where the backbone stores it otherwise
            yield weight, weight.detach().clone(), intruding.to(weight), count


def _scale(parts: list[tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", int]], factor: float) -> None:
    """Set every matrix to its own value with its intruders scaled."""
    import torch

    with torch.no_grad():
        for weight, own, intruding, _ in parts:
            weight.copy_(own + (factor - 1) * intruding)
