"""Random numbers from one seed, their state kept and put back, and deterministic algorithms on GPUs."""

import hashlib
import os
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.config.schema import Cell

WORKSPACE = ":4096:8"
"""For cuBLAS, read when its first handle is made: with it, several streams give one result."""


def seed(number: int) -> None:
    """Set the seed of every generator that a method may draw from: torch's on all devices, Python's and NumPy's."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def states(device: torch.device) -> dict[str, Any]:
    """Return the states of all these generators, as plain values and tensors."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
    }


def restore(saved: dict[str, Any], device: torch.device) -> None:
    """Set the generators to the states that `states` returned."""
    torch.set_rng_state(saved["torch"])
    if saved["device"] is not None:
        torch.cuda.set_rng_state(saved["device"], device)
    random.setstate(saved["python"])
    np.random.set_state(saved["numpy"])


def ask(device: torch.device) -> list[str]:
    """Use deterministic algorithms on a GPU for the rest of this process, and return a list. It fills with a clause
    for each operation for which torch has no such algorithm.

    Call it before the first work on the device. On the CPU all that is used here is deterministic as it is.
    """
    lacking: list[str] = []
    if device.type != "cuda":
        return lacking
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    warnings.showwarning = listener(lacking, warnings.showwarning)
    warnings.filterwarnings("once", message=r"(?s).*determinis")
    return lacking


def listener(lacking: list[str], usual: Callable[..., None]) -> Callable[..., None]:
    """Return a function that shows warnings as `usual` does, and stores the first clause of those about determinism."""

    def show(message: Any, *rest: Any) -> None:
        clause = str(message).partition(", but")[0].strip()[:120]
        if "determinis" in clause and clause not in lacking:
            lacking.append(clause)
        usual(message, *rest)

    return show


def note(device: torch.device, lacking: list[str] | None) -> dict[str, Any]:
    """Return what the record's notes say about operations on a GPU that were not deterministic.

    lacking: as collected since `ask`; None where determinism was not requested.
    """
    if device.type != "cuda":
        return {}
    return {"not_deterministic": "not asked for (deterministic=true)" if lacking is None else lacking}


def choose_device(wanted: str) -> torch.device:
    """Return the named device, or for "auto" the first GPU where there is one."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_for(cell: Cell, purpose: str) -> int:
    """Return a seed (32 bits) of the cell's seed and a purpose, so that a method that draws more numbers changes no
    other draw.
    """
    return int.from_bytes(hashlib.sha256(f"{cell.seed}/{purpose}".encode()).digest()[:4], "big")
