"""Show what this machine can and cannot do.

deltabench doctor [--json]     exit code 1 when something that every run needs is missing
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.config import compose, conf_files, launchers
from harness.config.schema import ModelConfig, Runtime, build
from harness.errors import UsageError
from harness.execution import sweep
from harness.execution.trackers import follower
from harness.experiments import options
from harness.measurement import cuda_devices, nvml
from harness.paths import located
from harness.processes import forkserver
from harness.store import provenance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench doctor` and return its exit code."""
    rows = list(_findings())
    if arguments.json:
        print(json.dumps([dict(zip(("what", "state", "told"), row, strict=True)) for row in rows], indent=1))
    else:
        width = max(len(what) for what, _, _ in rows)
        for what, state, text in rows:
            print(f"{state:<3}  {what:<{width}}  {text}")
    return 1 if any(state == "bad" for _, state, _ in rows) else 0


def probe() -> dict[str, str | int]:
    """Return what torch sees: the number of GPUs and of threads. It runs in a child process."""
    import torch

    return {
        "gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "threads": torch.get_num_threads(),
    }


def _findings() -> Iterator[tuple[str, str, str]]:
    """Yield (what, "ok" | "no" | "bad", explanation); a run can do without what is "no"."""
    about = provenance.gather()
    machine = about["machine"]
    yield (
        "machine",
        "ok",
        f"{machine['cores']} cores, {machine['memory_bytes'] / 2**30:.1f} GiB, {machine['processor']}",
    )
    yield "python", "ok", about["python"]
    for name, version in about["packages"].items():
        yield name, "ok" if version else "bad", version or "not installed"
    yield _isolation()
    yield "cells", "ok", f"{sweep.slots(Runtime())} at once by default"
    yield from rows()
    yield from _models()
    for name in options.names("launcher"):
        reason = launchers.missing(name)
        yield f"launcher {name}", "no" if reason else "ok", reason or "can be used here"
    for name in follower.NAMES:
        there = follower.installed(name)
        yield f"tracker {name}", "ok" if there else "no", "installed" if there else f"pip install {name}"
    yield (
        "hub",
        "ok",
        "offline by HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "used when a model or a task needs it",
    )
    yield _writable(located(str(compose.defaults()["runtime"]["store"])))


def _isolation() -> tuple[str, str, str]:
    try:
        seen = forkserver.call("harness.cli.commands.doctor:probe", (), forkserver.preload(()))
    except (RuntimeError, OSError) as error:
        return "isolation", "bad", f"no child process: {' '.join(str(error).split())[-200:]}"
    return (
        "isolation",
        "ok",
        f"children start; {seen['gpus'] or 'no'} GPU, torch {seen['threads']} thread in a fresh child",
    )


def _models() -> Iterator[tuple[str, str, str]]:
    from harness.models import weight_files

    composed = compose.load(("model", name) for name in conf_files.files("model"))
    for name in conf_files.files("model"):
        try:
            config = build(ModelConfig, composed["model", name], "model")
            if config.source == "hub":
                yield name, "ok", f"from the Hub: {config.location}"
            else:
                settled = weight_files.resolve(config)
                yield name, "ok", f"{settled.source}, revision {settled.revision[:12]}"
        except UsageError as error:
            yield name, "no", str(error)


def _writable(path: Path) -> tuple[str, str, str]:
    """Return whether the store, or the nearest existing folder above it, can be written to."""
    there = next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there):
            return "store", "ok", str(path)
    except OSError as error:
        return "store", "bad", f"{path}: {error.strerror}"


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
    """Yield (what, "ok" or "no", explanation) for the NVML library, each device and each MIG instance."""
    library, why = nvml.library()
    if library is None:
        yield "nvml", "no", f"{why}; memory, power and energy of a GPU stay null in records, everything else works"
        return
    try:
        devices = list(cuda_devices.handles(library))
    except Exception as error:  # NVML's own kind, or what a broken library makes ctypes raise
        yield "nvml", "no", f"the library answers but lists no devices: {nvml.words(error)}"
        return
    yield (
        "nvml",
        "ok" if devices else "no",
        f"{len(devices) or 'no'} device{'s' * (len(devices) != 1)}{_visible_devices()}",
    )
    for place, (handle, parts) in enumerate(devices):
        yield _row(library, f"gpu {place}", handle, f", cut into {len(parts)} MIG instances" if parts else "")
        for number, part in enumerate(parts):
            yield _row(library, f"gpu {place}.{number}", part, "")


def _row(library: Any, what: str, handle: Any, suffix: str) -> Row:
    """Return the row of one device or MIG instance.

    No process has pid 0, so every process on the device counts as another one's.
    """
    device = nvml.Device(library, handle, pid=0)
    device.energy_j()
    reading, about = device.read(), device.about()
    parts = [f"{about['name']} ({about['uuid']}), driver {about['driver']}{suffix}"]
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


def _visible_devices() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return ""
    listed = cuda_devices.listed(os.environ) or []
    return f"; CUDA_VISIBLE_DEVICES={visible!r} shows {len(listed) or 'none'} of them to cells"
