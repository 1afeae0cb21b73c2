"""The same trainable weights at the start of both sides, and whether the sides then compute the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.benchmarks.speed import theirs
from tests.benchmarks.speed.ours import Ours
from tests.benchmarks.speed.theirs import Plan, Recipe

STEPS = 5
"""Steps whose losses are compared."""
CLOSE = 1e-4
"""The largest relative difference of two losses that rounding may make in so many steps."""
LOW_RANK = {"A": "lora_A.default.weight", "B": "lora_B.default.weight"}
NAMES: Mapping[str, Mapping[str, str]] = {
    "lora": {f"lora.{mine}": other for mine, other in LOW_RANK.items()},
    "dora": {f"dora.direction.{mine}": other for mine, other in LOW_RANK.items()}
    | {"dora.magnitude": "lora_magnitude_vector.default.weight"},
    "vera": {"vera.b": "vera_lambda_b.default", "vera.d": "vera_lambda_d.default"},
    "ia3": {"ia3.scale": "ia3_l.default"},
}
"""method -> the name below a host of each of our parameters, and of PEFT's."""


@torch.no_grad()
def copy(ours: Ours, plan: Plan, other: Any) -> None:
    """Give PEFT's trainable parameters the values of ours. A head is the same already."""
    for host in plan.hosts if plan.method in NAMES else ():
        layer = other.base_model.model.get_submodule(host)
        for mine, name in NAMES[plan.method].items():
            values = ours.model.get_parameter(f"{host}.{mine}")
            layer.get_parameter(name).copy_(values.view_as(layer.get_parameter(name)))
    if plan.method in ("prompt", "ptuning"):
        encoder = other.prompt_encoder["default"]
        [prompt] = [module.prompt for module in ours.model.modules() if hasattr(module, "prompt")]
        encoder.embedding.weight.copy_(prompt.embeddings)
        if plan.method == "ptuning":
            encoder.mlp_head.load_state_dict(prompt.mlp.state_dict())
    if plan.method == "prefix":
        made = [
            (module.prefix.keys, module.prefix.values) for module in ours.model.modules() if hasattr(module, "prefix")
        ]
        halves = torch.stack([half for pair in made for half in pair])  # [2 L, H, P, K]
        table = other.prompt_encoder["default"].embedding.weight  # [P, 2 L H K]
        table.copy_(halves.permute(2, 0, 1, 3).reshape(table.shape))


def losses(ours: Ours, other: nn.Module, folder: Path) -> dict[str, list[float]]:
    """Return the losses of the first steps of each side, and leave all of them trained by as many steps."""
    few = Recipe(STEPS, ours.recipe.rows, ours.recipe.rate, ours.recipe.clip)
    rows, order = ours.rows(), ours.order[: STEPS * few.rows]
    start = {name: p.detach().clone() for name, p in other.named_parameters() if p.requires_grad}
    found = {"ours": ours.train(STEPS, every=1)[1], "bare": theirs.bare(other, rows, order, few).losses}
    with torch.no_grad():
        for name, p in other.named_parameters():
            if name in start:
                p.copy_(start[name])
    found["trainer"] = theirs.trainer(other, rows, order, few, folder, note=True).losses
    return found


def difference(found: Mapping[str, Sequence[float]]) -> float:
    """Return the largest relative difference of the other sides' losses from ours."""
    return max(
        abs(other - mine) / abs(mine)
        for name in ("bare", "trainer")
        for mine, other in zip(found["ours"], found[name], strict=True)
    )
