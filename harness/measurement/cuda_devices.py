"""The NVML device of torch's `cuda:i`: CUDA numbers the devices of CUDA_VISIBLE_DEVICES, in an order of its own.

Devices are therefore identified by UUID. A MIG instance has a UUID of its own (MIG-…); CUDA uses one instance per
process. Torch is not imported.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from harness.measurement import nvml

UUIDS = ("GPU-", "MIG-")


def find(library: Any, index: int, uuid: str | None) -> tuple[Any, str]:
    """Return (NVML's handle of `cuda:index`, or None; why it is None). uuid: torch's UUID of the device, if known."""
    entries = listed(os.environ)
    named = entries[index] if entries is not None and index < len(entries) else None
    if entries is not None and named is None:
        return None, f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} shows no device {index}"
    try:
        if named is not None and named.startswith(UUIDS):
            return _by_uuid(library, named)
        if uuid:
            return _by_torch(library, uuid)
        return _by_number(library, index if named is None else int(named))
    except Exception as error:  # NVML's own kind, or an error of ctypes with a foreign or broken library
        return None, nvml.words(error)


def listed(environment: Mapping[str, str]) -> list[str] | None:
    """Return the entries of CUDA_VISIBLE_DEVICES; None where it is not set. As in CUDA, an invalid entry
    ends the list.
    """
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    entries = []
    for entry in map(str.strip, value.split(",")):
        if not (entry.isdecimal() or entry.startswith(UUIDS)):
            break
        entries.append(entry)
    return entries


def handles(library: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield every device that NVML lists, with its MIG instances."""
    for place in range(int(library.nvmlDeviceGetCount())):
        handle = library.nvmlDeviceGetHandleByIndex(place)
        yield handle, instances(library, handle)


def instances(library: Any, handle: Any) -> list[Any]:
    """Return the MIG instances of a device; [] where MIG is off or not supported."""
    try:
        if not library.nvmlDeviceGetMigMode(handle)[0]:
            return []
        most = int(library.nvmlDeviceGetMaxMigDeviceCount(handle))
    except Exception:  # a device or library without MIG raises an error
        return []
    parts = []
    for place in range(most):
        try:
            parts.append(library.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
        except Exception:  # a slot may be empty
            continue
    return parts


def _by_uuid(library: Any, wanted: str) -> tuple[Any, str]:
    """Return the device of a UUID in CUDA_VISIBLE_DEVICES, which may be shortened as long as it is unique."""
    every = [handle for handle, parts in handles(library) for handle in (handle, *parts)]
    matching = [handle for handle in every if nvml.text(library.nvmlDeviceGetUUID(handle)).startswith(wanted)]
    if len(matching) == 1:
        return _instance(library, matching[0])
    return None, f"CUDA_VISIBLE_DEVICES names {wanted}, and NVML lists {len(matching) or 'no'} devices of that name"


def _by_torch(library: Any, uuid: str) -> tuple[Any, str]:
    """Return the device of torch's UUID, which lacks the prefix of its kind."""
    names = [uuid] if uuid.startswith(UUIDS) else [f"{kind}{uuid}" for kind in UUIDS]
    for place, name in enumerate(names, start=1):
        try:
            return _instance(library, library.nvmlDeviceGetHandleByUUID(name))
        except Exception:  # NVML knows no device of this name; the next prefix is tried
            if place == len(names):
                raise
    raise AssertionError("unreachable: the last name returns or raises")


def _by_number(library: Any, number: int) -> tuple[Any, str]:
    """Return the device with a number of CUDA_VISIBLE_DEVICES.

    NVML numbers devices by their place on the bus. CUDA does so only when it is set to, or when there is no choice.
    """
    every = [handle for handle, _ in handles(library)]
    if number >= len(every):
        return None, f"NVML lists {len(every)} devices and CUDA number {number} is none of them"
    names = {nvml.text(library.nvmlDeviceGetName(handle)) for handle in every}
    if len(names) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return None, "CUDA may number devices of several kinds differently from NVML: set CUDA_DEVICE_ORDER=PCI_BUS_ID"
    return _instance(library, every[number])


def _instance(library: Any, handle: Any) -> tuple[Any, str]:
    """Return the device, or the only MIG instance of a device in MIG mode."""
    parts = instances(library, handle)
    if len(parts) > 1:
        return None, f"the device has {len(parts)} MIG instances: name one of them in CUDA_VISIBLE_DEVICES=MIG-…"
    return (parts[0] if parts else handle), ""
