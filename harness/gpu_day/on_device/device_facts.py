"""What torch and NVML say of the GPU. It is called in a process of its own, as torch is imported."""

from typing import Any

import torch

from harness.measurement.memory import open_device


def read() -> dict[str, Any]:
    """Return the device's name, bytes and versions; with `why` where torch can use no NVIDIA GPU here."""
    if torch.version.cuda is None:
        return {"why": f"torch {torch.__version__} is built without CUDA"}
    if not torch.cuda.is_available():
        return {"why": f"torch {torch.__version__} finds no GPU that it can use"}
    about = torch.cuda.get_device_properties(0)
    opened, why = open_device(torch.device("cuda"))
    return {
        "device": torch.cuda.get_device_name(0),
        "device_bytes": about.total_memory,
        "capability": f"{about.major}.{about.minor}",
        "cuda": torch.version.cuda,
        "driver": opened.about()["driver"] if opened else None,
        "why_null": {} if opened else {"driver": why},
    }
