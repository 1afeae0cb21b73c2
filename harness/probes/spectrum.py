"""Intruder dimensions: leading singular vectors of tuned weights that are unlike all of the pretrained ones.

Shuttleworth et al. 2024 (arXiv 2410.21228): a singular vector of the tuned matrix is an intruder if its largest
absolute cosine with the singular vectors of the pretrained matrix is below epsilon. As in their code these are the left
ones, and the TOP of them by singular value are examined. The cosines are stored, so that epsilon is chosen in the
analysis. Weights are merged ones, of the best checkpoint, of every linear in attention and feed-forward. Pretrained
matrices of zeros are left out, because they have no singular vectors to compare with.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable

if TYPE_CHECKING:
    import torch

    from harness.probes._finished_cell import Finished

TOP = 10
ENERGY = 0.9
EPSILON = 0.5
"""The threshold in the lines for people."""


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return the matrices: for each its place, `change`, `rank_share` and `likeness`.

    change: ||W - W_0|| / ||W_0|| (Frobenius). rank_share: of W - W_0, by `rank_share`. likeness: for each of the TOP
    singular vectors, the largest first, the largest cosine with any pretrained one.
    """
    from harness.probes import _weight_pairs
    from methods.backbone.targets import LINEAR_ROLES

    try:
        finished.method.merge(finished.model)
    except NotApplicable as error:
        return {"matrices": [], "why_null": {"matrices": str(error)}}
    rows = []
    for place, before, after in _weight_pairs.pairs(finished.plain, finished.model, LINEAR_ROLES):
        if not bool(before.any()):
            continue
        moved = float((after - before).norm() / before.norm())
        own = {"change": moved, "rank_share": rank_share(after - before), "likeness": likeness(before, after)}
        rows.append({**place.labels(), **own})
    return {"matrices": rows, "why_null": {}}


def likeness(before: "torch.Tensor", after: "torch.Tensor", top: int = TOP) -> list[float]:
    """Return [min(top, d_out, d_in)]: for each leading left singular vector of `after` the largest |cos| with one of
    `before`.

    before, after: [d_out, d_in].
    """
    import torch

    old, new = (torch.linalg.svd(weight, full_matrices=False)[0] for weight in (before, after))
    cosines: list[float] = (new[:, :top].T @ old).abs().amax(dim=1).tolist()
    return cosines


def rank_share(change: "torch.Tensor", energy: float = ENERGY) -> float:
    """Return how many singular values hold this share of the squared norm, over the most that there can be.

    change: [d_out, d_in]; 0 for a matrix of zeros. "LoRA Learns Less and Forgets Less" (Biderman et al. 2024, arXiv
    2405.09673) measures the rank of full fine-tuning's update so.
    """
    import torch

    squares = torch.linalg.svdvals(change).square()
    total = squares.sum()
    if not bool(total > 0):
        return 0.0
    reached = squares.cumsum(0) < energy * total * (1 - 1e-12)
    return (int(reached.sum()) + 1) / len(squares)


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per role."""
    lines = []
    for role in dict.fromkeys(row["role"] for row in result["matrices"]):
        own = [row for row in result["matrices"] if row["role"] == role]
        count = sum(value < EPSILON for row in own for value in row["likeness"]) / len(own)
        change = sum(row["change"] for row in own) / len(own)
        lines.append(
            f"{role}: {count:.2f} intruders among the first {TOP} vectors at epsilon {EPSILON:g}, "
            f"change {change:.3g} (mean of {len(own)} matrices)"
        )
    return lines + [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]
