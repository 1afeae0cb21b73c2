"""What NVML tells of this machine, in words: for `deltabench doctor`. Torch-free, and it never raises."""

import os
from collections.abc import Iterator
from typing import Any

from harness.measurement import cuda_devices, nvml

Row = tuple[str, str, str]
NAMES = {
    "device_bytes": "memory",
    "process_bytes": "memory per process",
    "others": "processes",
    "utilisation": "utilisation",
    "power": "power",
    "energy": "energy",
}


def rows() -> Iterator[Row]:
    """(what, "ok" or "no", in words): the library, then each device and each MIG instance."""
    library, why = nvml.library()
    if library is None:
        yield "nvml", "no", f"{why}; memory, power and energy of a GPU stay null in records, everything else works"
        return
    try:
        found = list(cuda_devices.handles(library))
    except Exception as error:  # NVML's own kind, or what a broken library makes ctypes raise
        yield "nvml", "no", f"the library answers but lists no devices: {nvml.words(error)}"
        return
    yield "nvml", "ok" if found else "no", f"{len(found) or 'no'} device{'s' * (len(found) != 1)}{_shown()}"
    for place, (handle, parts) in enumerate(found):
        yield _row(library, f"gpu {place}", handle, f", cut into {len(parts)} MIG instances" if parts else "")
        for number, part in enumerate(parts):
            yield _row(library, f"gpu {place}.{number}", part, "")


def _row(library: Any, what: str, handle: Any, told: str) -> Row:
    """pid 0 is nobody's, so that whatever runs on the device counts as others."""
    device = nvml.Device(library, handle, pid=0)
    device.energy_j()
    reading, about = device.read(), device.about()
    parts = [f"{about['name']} ({about['uuid']}), driver {about['driver']}{told}"]
    if reading.device_bytes is not None:
        parts.append(f"{reading.device_bytes / 2**30:.1f} GiB in use now")
    if device.at_start:
        parts.append(f"{device.at_start} process{'es' * (device.at_start != 1)} on it now: memory and time are shared")
    lacking: dict[str, list[str]] = {}
    for figure, why in device.why.items():
        if figure in NAMES and not (figure in ("process_bytes", "others") and device.at_start is not None):
            lacking.setdefault(why, []).append(NAMES[figure])
    parts += [f"no {' and '.join(names)}: {why}" for why, names in lacking.items()]
    return what, "no" if device.lost else "ok", "; ".join(parts)


def _shown() -> str:
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return ""
    listed = cuda_devices.listed(os.environ) or []
    return f"; CUDA_VISIBLE_DEVICES={said!r} shows {len(listed) or 'none'} of them to cells"
