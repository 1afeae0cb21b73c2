"""The weight matrices of a backbone before and after training, with their places, for probes that compare weights."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from methods.backbone import roles as anatomy
from methods.backbone.linears import dense


@dataclass(frozen=True)
class Place:
    """The place of a weight matrix.

    - name: of the module. role: of methods/backbone/roles.py; "qkv" for one linear without rows for q, k and v.
    - stack: "encoder", "decoder", or "" where there is one only. layer: counts from 0 in its stack.
    - cross: it belongs to cross-attention.
    """

    name: str
    role: str
    stack: str
    layer: int
    cross: bool

    def labels(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return dict(vars(self))


def pairs(
    plain: nn.Module, tuned: nn.Module, roles: Iterable[str]
) -> Iterator[tuple[Place, torch.Tensor, torch.Tensor]]:
    """Yield (place, before, after) for every linear of these roles: [d_out, d_in] each, fp64 on its device.

    tuned: with its delta merged. Roles that the family does not have are left out.
    """
    cross = tuple(f"{name}." for name in anatomy.find(plain, "cross"))
    roles = tuple(roles)
    before, after = anatomy.by_role(plain, roles), anatomy.by_role(tuned, roles)
    for role, linears in before.items():
        for name, linear in linears.items():
            stack = next((part for part in name.split(".") if part in ("encoder", "decoder")), "")
            place = Place(name, role, stack, anatomy.depth(name), name.startswith(cross))
            yield place, _weight(linear), _weight(after[role][name])


def _weight(linear: anatomy.Linear) -> torch.Tensor:
    """Return [d_out, d_in] a linear's weight in fp64."""
    return dense(linear).detach().double()
