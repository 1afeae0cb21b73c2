"""The change of weights in magnitude and in direction during training, at four checkpoints.

DoRA (Liu et al. 2024, arXiv 2402.09353), section 3.2: W = m V / ||V||_c. For the merged weight W^t of a checkpoint and
the pretrained W_0, dM^t is the mean over k of |m^t - m_0| (equation 3), and dD^t the mean over k of 1 - cos(V^t, W_0)
(equation 4). The paper writes weights as [d_in, d_out]: its columns k are the outputs, the rows of `nn.Linear.weight`.
Queries and values are measured, as in the paper. Those of cross-attention are measured too and marked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable

if TYPE_CHECKING:
    import torch

    from harness.probes._finished_cell import Finished

SNAPSHOTS = 4
"""Three during training and the last step. The paper gives their number only; here they are equally spaced."""
ROLES = ("q", "v")


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return the steps of the checkpoints, and the matrices: for each its place, `magnitude` and `direction` at every
    step.
    """
    from harness.probes import _weight_pairs

    snapshots = finished.deltas(SNAPSHOTS, "weight_decomposition")
    matrices: dict[str, dict[str, Any]] = {}
    try:
        for path in snapshots.values():
            tuned = finished.merged(path).to(device)
            for place, before, after in _weight_pairs.pairs(finished.plain, tuned, ROLES):
                magnitude, direction = changes(before, after)
                row = matrices.setdefault(place.name, {**place.labels(), "magnitude": [], "direction": []})
                row["magnitude"].append(magnitude)
                row["direction"].append(direction)
    except NotApplicable as error:
        return {"steps": [], "matrices": [], "why_null": {"matrices": str(error)}}
    why = {} if snapshots else {"matrices": "nothing trained"}
    return {"steps": list(snapshots), "matrices": list(matrices.values()), "why_null": why}


def changes(before: "torch.Tensor", after: "torch.Tensor") -> tuple[float, float]:
    """Return (dM, dD) between two weights [d_out, d_in]. A row of length 0 has no direction and is left out of dD."""
    import torch

    lengths = [torch.linalg.vector_norm(weight, dim=1, keepdim=True) for weight in (before, after)]
    magnitude = (lengths[1] - lengths[0]).abs().mean()
    rows = ((lengths[0] > 0) & (lengths[1] > 0)).squeeze(1)
    if not bool(rows.any()):
        return float(magnitude), 0.0
    units = [weight[rows] / length[rows] for weight, length in zip((before, after), lengths, strict=True)]
    direction = (
        0.5 * (units[1] - units[0]).square().sum(dim=1).mean()
    )  # 1 - cos, without its loss of precision at small angles
    return float(magnitude), float(direction)


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per role and checkpoint: means over the matrices of self-attention."""
    lines = []
    for role in dict.fromkeys(row["role"] for row in result["matrices"]):
        own = [row for row in result["matrices"] if row["role"] == role and not row["cross"]]
        for place, step in enumerate(result["steps"] if own else ()):
            means = (sum(row[figure][place] for row in own) / len(own) for figure in ("magnitude", "direction"))
            magnitude, direction = means
            lines.append(f"{role}, step {step}: dM {magnitude:.4g}, dD {direction:.4g} (mean of {len(own)} matrices)")
    return lines + [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]
