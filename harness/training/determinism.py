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
    """Every generator that a method may draw from: torch's on all devices, Python's and NumPy's."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def states(device: torch.device) -> dict[str, Any]:
    """Of all these generators, as plain values and tensors."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
    }


def restore(held: dict[str, Any], device: torch.device) -> None:
    """What `states` gave."""
    torch.set_rng_state(held["torch"])
    if held["device"] is not None:
        torch.cuda.set_rng_state(held["device"], device)
    random.setstate(held["python"])
    np.random.set_state(held["numpy"])


def ask(device: torch.device) -> list[str]:
    """Deterministic algorithms on a GPU, for the rest of this process; a list that fills with what torch has none for.

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
    """What shows a warning as `usual`, and keeps those about determinism, by their first clause."""

    def show(message: Any, *rest: Any) -> None:
        told = str(message).partition(", but")[0].strip()[:120]
        if "determinis" in told and told not in lacking:
            lacking.append(told)
        usual(message, *rest)

    return show


def note(device: torch.device, lacking: list[str] | None) -> dict[str, Any]:
    """For the record's notes: what was not deterministic on a GPU. lacking: as of `ask`; None: nobody asked."""
    if device.type != "cuda":
        return {}
    return {"not_deterministic": "not asked for (deterministic=true)" if lacking is None else lacking}


def choose_device(wanted: str) -> torch.device:
    """The device named, or for "auto" the first GPU where there is one."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_for(cell: Cell, purpose: str) -> int:
    """A seed of its own for each purpose, so that a method that draws more numbers shifts nobody else's."""
    return int.from_bytes(hashlib.sha256(f"{cell.seed}/{purpose}".encode()).digest()[:4], "big")
