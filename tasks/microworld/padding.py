"""Rows of ids as one tensor."""

import torch


def pad(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Lists of ids -> [B, T]."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])
