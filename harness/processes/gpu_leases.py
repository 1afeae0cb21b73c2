"""Leases on this machine's GPUs, kept as files that all sweeps of a user see. Torch is not imported.

A lease covers a share of a device (`SHARES` of them make one), so that cells which need half of one run side by side.
The child gets CUDA_VISIBLE_DEVICES before it touches CUDA, and sees no other device.
"""

import hashlib
import os
import random
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.measurement import cuda_devices, nvml
from harness.store import lease

VARIABLE = "CUDA_VISIBLE_DEVICES"
SHARES = 12
"""Leases per device; halves, thirds, quarters and sixths are whole numbers of them."""
WAIT_S = 0.5


def usable() -> tuple[str, ...]:
    """Return the devices that this process may use, as CUDA_VISIBLE_DEVICES would name them; () where there are none.

    They are named by UUID where possible: a number denotes another device where the variable is set differently.
    """
    library, _ = nvml.library()
    if library is None:
        return ()
    listed = cuda_devices.listed(os.environ)
    if listed is None:
        every = [part for handle, parts in cuda_devices.handles(library) for part in (parts or [handle])]
        return tuple(nvml.text(library.nvmlDeviceGetUUID(part)) for part in every)
    handles = [cuda_devices.find(library, place, None)[0] for place in range(len(listed))]
    return tuple(
        name if handle is None else nvml.text(library.nvmlDeviceGetUUID(handle))
        for name, handle in zip(listed, handles, strict=True)
    )


def at_once(devices: Sequence[str], gpus: float) -> int:
    """Return how many cells these devices serve at once, each with `gpus` of them (a share where below 1)."""
    return len(devices) * (SHARES // _shares(gpus)) if gpus < 1 else int(len(devices) // gpus)


def check(devices: Sequence[str], gpus: float) -> None:
    """Raise UsageError for a number of devices that no cell could ever get."""
    if gpus > 1 and gpus % 1:
        raise UsageError(f"launcher.gpus={gpus:g}: above 1 it must be a whole number.")
    if devices and gpus > len(devices):
        raise UsageError(f"launcher.gpus={gpus:g}: this machine has {len(devices)}; ask for fewer.")


@contextmanager
def leased(devices: Sequence[str], gpus: float) -> Iterator[Mapping[str, str]]:
    """Yield the child's environment variables while the devices are leased; wait for them where they are in use.

    Without devices to lease, yield this process's own variable (a launcher's workers are assigned theirs so).
    """
    if not devices:
        yield {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
        return
    if gpus == 0:
        yield {VARIABLE: ""}
        return
    names, leases = _wait(devices, gpus)
    try:
        yield {VARIABLE: ",".join(names)}
    finally:
        _release(leases)


def folder() -> Path:
    """Return the folder of the leases on this machine's devices, which belongs to this user alone.

    Raises UsageError where another user owns it.
    """
    path = Path(tempfile.gettempdir()) / f"deltabench-devices-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
    path.mkdir(mode=0o700, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
        raise UsageError(f"{path} is not a folder of yours; remove it, or set TMPDIR to another folder.")
    return path


def _wait(devices: Sequence[str], gpus: float) -> tuple[list[str], list[lease.Lease]]:
    """Return devices and their leases once enough are free."""
    announced, lease_folder = False, folder()
    while True:
        names, leases = _take(lease_folder, devices, gpus)
        if names:
            return names, leases
        if not announced:
            print("waiting for a device that other cells use", file=sys.stderr, flush=True)
            announced = True
        time.sleep(WAIT_S * random.uniform(0.5, 1.5))  # random, so that two waiting cells do not collide again


def _take(lease_folder: Path, devices: Sequence[str], gpus: float) -> tuple[list[str], list[lease.Lease]]:
    """Return as many devices as requested with their leases, the least used first; ([], []) where they are not free."""
    count, shares = (1, _shares(gpus)) if gpus < 1 else (int(gpus), SHARES)
    names: list[str] = []
    leases: list[lease.Lease] = []
    for device in sorted(devices, key=lambda name: sum(lease.running(lease_folder, key) for key in _keys(name))):
        own = _shares_of(lease_folder, device, shares)
        leases += own
        names += [device] if own else []
        if len(names) == count:
            return names, leases
    _release(leases)
    return [], []


def _shares_of(lease_folder: Path, device: str, wanted: int) -> list[lease.Lease]:
    """Return leases on `wanted` shares of one device, or []."""
    own: list[lease.Lease] = []
    for place, key in enumerate(_keys(device)):
        taken = lease.acquire(lease_folder, key)
        own += [taken] if taken else []
        if len(own) == wanted:
            return own
        if len(own) + SHARES - place - 1 < wanted:
            break
    _release(own)
    return []


def _release(leases: Sequence[lease.Lease]) -> None:
    """Release the leases."""
    for item in leases:
        item.release()


def _keys(device: str) -> list[str]:
    """Return the keys of a device's shares."""
    return [hashlib.sha256(f"{device}/{share}".encode()).hexdigest() for share in range(SHARES)]


def _shares(gpus: float) -> int:
    """Return how many shares a part of a device needs, rounded up; the tolerance makes 0.3333 a third."""
    return max(1, -int(-(gpus * SHARES - 0.01) // 1))
