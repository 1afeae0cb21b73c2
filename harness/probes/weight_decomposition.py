"""How far training moves weights in magnitude and in direction, at four checkpoints.

DoRA (Liu et al. 2024, arXiv 2402.09353), section 3.2: W = m V / ||V||_c; of the merged weight W^t of a checkpoint and
the pretrained W_0, dM^t is the mean over k of |m^t - m_0| (equation 3), dD^t the mean over k of 1 - cos(V^t, W_0)
(equation 4). The paper writes weights as [d_in, d_out]: its columns k are the outputs, the rows of `nn.Linear.weight`.
Queries and values, as there; those of attentions that look at an encoder are measured too and marked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable, UsageError
from harness.store import attempt_folder

if TYPE_CHECKING:
    import torch

    from harness.probes._finished_cell import Finished

CHECKPOINTS = 4
"""Three while training goes on and the last step; the paper tells their number only, here they are equally spaced."""
ROLES = ("q", "v")


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """steps: of the checkpoints. matrices: for each its place, `magnitude` and `direction` at every one of them."""
    from harness.probes import _weight_pairs

    kept = _kept(finished)
    found: dict[str, dict[str, Any]] = {}
    try:
        for path in kept.values():
            tuned = finished.merged(path).to(device)
            for place, before, after in _weight_pairs.pairs(finished.plain, tuned, ROLES):
                magnitude, direction = changes(before, after)
                row = found.setdefault(place.name, {**place.told(), "magnitude": [], "direction": []})
                row["magnitude"].append(magnitude)
                row["direction"].append(direction)
    except NotApplicable as error:
        return {"steps": [], "matrices": [], "why_null": {"matrices": str(error)}}
    why = {} if kept else {"matrices": "nothing trained"}
    return {"steps": list(kept), "matrices": list(found.values()), "why_null": why}


def changes(before: "torch.Tensor", after: "torch.Tensor") -> tuple[float, float]:
    """(dM, dD) between two weights [d_out, d_in]. A row without length has no direction and is not in dD."""
    import torch

    lengths = [torch.linalg.vector_norm(weight, dim=1, keepdim=True) for weight in (before, after)]
    magnitude = (lengths[1] - lengths[0]).abs().mean()
    rows = ((lengths[0] > 0) & (lengths[1] > 0)).squeeze(1)
    if not bool(rows.any()):
        return float(magnitude), 0.0
    units = [weight[rows] / length[rows] for weight, length in zip((before, after), lengths, strict=True)]
    direction = 0.5 * (units[1] - units[0]).square().sum(dim=1).mean()  # 1 - cos, without what small angles lose in it
    return float(magnitude), float(direction)


def told(result: Mapping[str, Any]) -> list[str]:
    """A line per role and checkpoint: means over the matrices of self-attention."""
    lines = []
    for role in ROLES:
        own = [row for row in result["matrices"] if row["role"] == role and not row["cross"]]
        for place, step in enumerate(result["steps"] if own else ()):
            means = (sum(row[figure][place] for row in own) / len(own) for figure in ("magnitude", "direction"))
            magnitude, direction = means
            lines.append(f"{role}, step {step}: dM {magnitude:.4g}, dD {direction:.4g} (mean of {len(own)} matrices)")
    return lines + [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]


def _kept(finished: "Finished") -> dict[int, Any]:
    """step -> its delta. UsageError where one was not kept."""
    if finished.delta is None:
        return {}
    files = attempt_folder.files(finished.delta.parent, finished.cell.recipe.steps, CHECKPOINTS)
    missing = [str(step) for step, path in files.items() if not path.is_file()]
    if missing:
        raise UsageError(
            f"it kept no delta of step {', '.join(missing)}: run it with probe=weight_decomposition, which adds an "
            "attempt that keeps them"
        )
    return files
