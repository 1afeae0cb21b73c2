"""Linears whose weight is a sum of n Kronecker products.

Karimi Mahabadi et al. 2021, arXiv 2106.04647, equations 4 and 5.
"""

import torch
from torch import nn
from torch.nn import functional as F

from methods.backbone.trainable_parameters import Delta, parameter


class Rule(Delta):
    """The A_i of a sum of Kronecker products. rule: [n, n, n]."""

    def __init__(self, like: torch.Tensor, division: int) -> None:
        super().__init__()
        self.rule = parameter(like, division, division, division)
        nn.init.normal_(self.rule, std=0.01)


class Kronecker(Delta):
    """A linear with weight sum_i A_i (x) B_i and a bias.

    B_i = left_i right_i with left: [n, d_out / n, r] and right: [n, r, d_in / n]. At rank 0, B_i is full: left: [n,
    d_out / n, d_in / n].
    """

    def __init__(self, like: torch.Tensor, d_in: int, d_out: int, rule: Rule, rank: int, zero: bool) -> None:
        super().__init__()
        self.rule, n = rule, len(rule.rule)
        self.left = parameter(like, n, d_out // n, rank or d_in // n)
        self.right = parameter(like, n, rank, d_in // n) if rank else None
        self.bias = parameter(like, d_out)
        nn.init.zeros_(self.bias)
        for factor in (self.left,) if self.right is None else (self.left, self.right):
            for block in factor:
                nn.init.xavier_normal_(block)
        if zero:
            nn.init.zeros_(self.left)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the linear's output: [B, T, d_out] for x: [B, T, d_in]."""
        blocks = self.left if self.right is None else self.left @ self.right
        weight = torch.einsum("iab,icd->acbd", self.rule.rule, blocks)
        return F.linear(x, weight.reshape(len(self.bias), -1), self.bias)
