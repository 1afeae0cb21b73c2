"""Which GPU a cell gets: leases on this machine's devices, kept as files that all sweeps of a user see. Torch-free.

A lease is on shares of a device (`SHARES` of them make one), so that cells which want half of one stand side by side.
The child is told by CUDA_VISIBLE_DEVICES before it touches CUDA, and sees nothing else.
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
"""Leases per device: halves, thirds, quarters and sixths come out even."""
WAIT_S = 0.5


def found() -> tuple[str, ...]:
    """The devices that this process may use, as CUDA_VISIBLE_DEVICES would name them; () where there are none.

    By UUID where that is possible: a number means another device where the variable is set otherwise.
    """
    library, _ = nvml.library()
    if library is None:
        return ()
    listed = cuda_devices.listed(os.environ)
    if listed is None:
        every = [one for handle, parts in cuda_devices.handles(library) for one in (parts or [handle])]
        return tuple(nvml.text(library.nvmlDeviceGetUUID(one)) for one in every)
    handles = [cuda_devices.find(library, place, None)[0] for place in range(len(listed))]
    return tuple(
        name if handle is None else nvml.text(library.nvmlDeviceGetUUID(handle))
        for name, handle in zip(listed, handles, strict=True)
    )


def at_once(devices: Sequence[str], gpus: float) -> int:
    """How many cells these devices serve at once, each with `gpus` of them (a share where below 1)."""
    return len(devices) * (SHARES // _shares(gpus)) if gpus < 1 else int(len(devices) // gpus)


def check(devices: Sequence[str], gpus: float) -> None:
    """UsageError for a number of devices that no cell could ever get."""
    if gpus > 1 and gpus % 1:
        raise UsageError(f"launcher.gpus={gpus:g}: above 1 it must be a whole number.")
    if devices and gpus > len(devices):
        raise UsageError(f"launcher.gpus={gpus:g}: this machine has {len(devices)} to give.")


@contextmanager
def held(devices: Sequence[str], gpus: float) -> Iterator[Mapping[str, str]]:
    """What to set in the child's environment, while the devices are ours; waits for them where they are taken.

    Without devices to lease, what this process itself was given (a launcher's workers are given theirs so).
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
    """Where the leases on this machine's devices lie: a folder of this user's alone."""
    path = Path(tempfile.gettempdir()) / f"deltabench-devices-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
    path.mkdir(mode=0o700, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
        raise UsageError(f"{path} is not a folder of yours: remove it, or name another place with TMPDIR.")
    return path


def _wait(devices: Sequence[str], gpus: float) -> tuple[list[str], list[lease.Lease]]:
    told, where = False, folder()
    while True:
        names, leases = _take(where, devices, gpus)
        if names:
            return names, leases
        if not told:
            print("waiting for a device that other cells hold", file=sys.stderr, flush=True)
            told = True
        time.sleep(WAIT_S * random.uniform(0.5, 1.5))  # whoever lost a race does not meet the same one again


def _take(where: Path, devices: Sequence[str], gpus: float) -> tuple[list[str], list[lease.Lease]]:
    """As many devices as wanted, or ([], []) where they are not free now; the emptiest first."""
    count, shares = (1, _shares(gpus)) if gpus < 1 else (int(gpus), SHARES)
    names: list[str] = []
    leases: list[lease.Lease] = []
    for device in sorted(devices, key=lambda one: sum(lease.running(where, key) for key in _keys(one))):
        own = _shares_of(where, device, shares)
        leases += own
        names += [device] if own else []
        if len(names) == count:
            return names, leases
    _release(leases)
    return [], []


def _shares_of(where: Path, device: str, wanted: int) -> list[lease.Lease]:
    """`wanted` shares of one device, or none."""
    own: list[lease.Lease] = []
    for place, key in enumerate(_keys(device)):
        taken = lease.acquire(where, key)
        own += [taken] if taken else []
        if len(own) == wanted:
            return own
        if len(own) + SHARES - place - 1 < wanted:
            break
    _release(own)
    return []


def _release(leases: Sequence[lease.Lease]) -> None:
    for one in leases:
        one.release()


def _keys(device: str) -> list[str]:
    return [hashlib.sha256(f"{device}/{share}".encode()).hexdigest() for share in range(SHARES)]


def _shares(gpus: float) -> int:
    """Shares of a device that a part of one takes, upwards; the tolerance lets 0.3333 be a third."""
    return max(1, -int(-(gpus * SHARES - 0.01) // 1))
