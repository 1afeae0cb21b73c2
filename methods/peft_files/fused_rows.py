"""Deltas on rows of a fused linear, written as one delta on the whole of it, which does the same.

A rank-R update of rows is an update of the whole whose other rows are zero. Several of them are one update whose rank
is the sum of their ranks: A is [A_1; A_2], and B holds B_i in the rows and the columns of i.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from methods.backbone.roles import Part
from methods.backbone.trainable_parameters import Delta
from methods.dora import Decomposed, norm
from methods.ia3 import Scale
from methods.lora import LowRank


@torch.no_grad()
def join(name: str, deltas: Mapping[str, Delta]) -> dict[str, dict[str, torch.Tensor]]:
    """Return host -> the tensors of one delta on the whole of it, by our names: A: [R, d_in], B: [d_out, R], magnitude:
    [d_out], scale: [d_out, 1].

    deltas: dotted name -> delta on rows.
    """
    by_host: dict[str, list[Delta]] = {}
    for path, delta in deltas.items():
        by_host.setdefault(path.rpartition(".")[0], []).append(delta)
    return {host: _joined(name, parts) for host, parts in by_host.items()}


def _joined(name: str, parts: list[Delta]) -> dict[str, torch.Tensor]:
    hosts: list[Part] = [part._seat[1] for part in parts]
    full = Part(hosts[0].module)
    if name == "ia3":
        scale = torch.ones(full.out_features)
        for host, part in zip(hosts, parts, strict=True):
            assert isinstance(part, Scale)
            scale[host.rows] = part.scale.detach().cpu().float()
        return {"scale": scale[:, None]}
    updates = [part.direction if isinstance(part, Decomposed) else part for part in parts]
    low = [update.plain() for update in updates if isinstance(update, LowRank)]
    a = torch.cat([update.A.detach().cpu().float() for update in low])
    b, start = torch.zeros(full.out_features, len(a)), 0
    for host, update in zip(hosts, low, strict=True):
        b[host.rows, start : start + len(update.A)] = update.B.detach().cpu().float()
        start += len(update.A)
    if name == "lora":
        return {"A": a, "B": b}
    magnitude = norm(full.weight.float()).cpu()
    for host, part in zip(hosts, parts, strict=True):
        assert isinstance(part, Decomposed)
        magnitude[host.rows] = part.magnitude.detach().cpu().float()
    return {"direction.A": a, "direction.B": b, "magnitude": magnitude}


def of_one_rank(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return PEFT's LoRA tensors padded with zeros to the largest rank R among them: A: [R, d_in], B: [d_out, R]."""
    rank = rank_of(tensors)
    made = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith(".lora_A.weight"):
            made[name] = torch.nn.functional.pad(tensor, (0, 0, 0, rank - tensor.shape[0]))
        elif name.endswith(".lora_B.weight"):
            made[name] = torch.nn.functional.pad(tensor, (0, rank - tensor.shape[1]))
    return made


def rank_of(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the largest rank R of PEFT's LoRA tensors, A: [R, d_in] and B: [d_out, R]."""
    return max(tensor.shape[0] for name, tensor in tensors.items() if name.endswith(".lora_A.weight"))


def sizes(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the rank R and the alpha with which PEFT scales the padded tensors, A: [R, d_in], as ours were scaled."""
    rank = rank_of(tensors)
    growth = rank / config["r"]
    return {"r": rank, "lora_alpha": config["lora_alpha"] * (math.sqrt(growth) if config["use_rslora"] else growth)}
