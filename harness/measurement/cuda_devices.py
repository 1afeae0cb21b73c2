"""Which NVML device is torch's `cuda:i`: CUDA numbers what CUDA_VISIBLE_DEVICES leaves, in an order of its own.

So devices go by UUID. A MIG instance has a UUID of its own (MIG-…); CUDA uses one instance per process. Torch-free.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from harness.measurement import nvml

UUIDS = ("GPU-", "MIG-")


def find(library: Any, index: int, uuid: str | None) -> tuple[Any, str]:
    """(NVML's handle of `cuda:index`, or None; why it is None). uuid: as torch tells it, where it does."""
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
    except Exception as error:  # NVML's own kind, or what a foreign or broken library makes ctypes raise
        return None, nvml.words(error)


def listed(environment: Mapping[str, str]) -> list[str] | None:
    """The entries of CUDA_VISIBLE_DEVICES; None where it is not set. As in CUDA, the first wrong one ends the list."""
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return None
    entries = []
    for entry in map(str.strip, said.split(",")):
        if not (entry.isdecimal() or entry.startswith(UUIDS)):
            break
        entries.append(entry)
    return entries


def handles(library: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Every device that NVML lists, with its MIG instances."""
    for place in range(int(library.nvmlDeviceGetCount())):
        handle = library.nvmlDeviceGetHandleByIndex(place)
        yield handle, instances(library, handle)


def instances(library: Any, handle: Any) -> list[Any]:
    """The MIG instances of a device; [] where MIG is off or unknown to it."""
    try:
        if not library.nvmlDeviceGetMigMode(handle)[0]:
            return []
        most = int(library.nvmlDeviceGetMaxMigDeviceCount(handle))
    except Exception:  # a device or library without MIG says so with an error
        return []
    found = []
    for place in range(most):
        try:
            found.append(library.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
        except Exception:  # slots may be empty: nothing stands there
            continue
    return found


def _by_uuid(library: Any, wanted: str) -> tuple[Any, str]:
    """A UUID of CUDA_VISIBLE_DEVICES may be cut short as long as it is one device's."""
    every = [one for handle, parts in handles(library) for one in (handle, *parts)]
    found = [one for one in every if nvml.text(library.nvmlDeviceGetUUID(one)).startswith(wanted)]
    if len(found) == 1:
        return _instance(library, found[0])
    return None, f"CUDA_VISIBLE_DEVICES names {wanted}, and NVML lists {len(found) or 'no'} devices of that name"


def _by_torch(library: Any, uuid: str) -> tuple[Any, str]:
    """torch tells the UUID without saying what of."""
    names = [uuid] if uuid.startswith(UUIDS) else [f"{kind}{uuid}" for kind in UUIDS]
    for place, name in enumerate(names, start=1):
        try:
            return _instance(library, library.nvmlDeviceGetHandleByUUID(name))
        except Exception:
            if place == len(names):
                raise
    raise AssertionError("unreachable: the last name returns or raises")


def _by_number(library: Any, number: int) -> tuple[Any, str]:
    """NVML numbers devices by their place on the bus; CUDA does so only when told to, or when there is no choice."""
    every = [handle for handle, _ in handles(library)]
    if number >= len(every):
        return None, f"NVML lists {len(every)} devices and CUDA number {number} is none of them"
    names = {nvml.text(library.nvmlDeviceGetName(handle)) for handle in every}
    if len(names) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return None, "CUDA may number devices of several kinds otherwise than NVML: set CUDA_DEVICE_ORDER=PCI_BUS_ID"
    return _instance(library, every[number])


def _instance(library: Any, handle: Any) -> tuple[Any, str]:
    """Of a device in MIG mode, the only instance it has."""
    parts = instances(library, handle)
    if len(parts) > 1:
        return None, f"the device has {len(parts)} MIG instances: name one of them in CUDA_VISIBLE_DEVICES=MIG-…"
    return (parts[0] if parts else handle), ""
