"""Show what this machine can and cannot do, on one screen.

deltabench doctor [--json]     exit code 1 when something that every run needs is missing

Items in order are summed up, and each of the others has its reason. As JSON: a row for every package, model, launcher,
tracker and device, [{"what", "state": "ok", "no" (not every run needs it) or "bad", "told"}].
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import terminal
from harness.cli import fitting
from harness.config import compose, conf_files, launchers, yaml_values
from harness.config.building import build
from harness.config.schema import ModelConfig, Runtime
from harness.errors import UsageError
from harness.execution import sweep
from harness.execution.trackers import follower
from harness.experiments.grids import options
from harness.files import plain_files
from harness.measurement import cpu_features, cuda_devices, nvml
from harness.paths import located
from harness.processes import forkserver
from harness.store import provenance

Row = tuple[str, str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench doctor` and return its exit code."""
    sections = list(_sections())
    rows = [row for _, some in sections for row in some]
    if arguments.json:
        print(json.dumps([dict(zip(("what", "state", "told"), row, strict=True)) for row in rows], indent=1))
    else:
        lines = [(state, what, text) for kind, some in sections for what, state, text in _summed(kind, some)]
        print("\n".join(fitting.described(lines, terminal.width())))
    return 1 if any(state == "bad" for _, state, _ in rows) else 0


def _summed(kind: str, rows: Sequence[Row]) -> list[Row]:
    """Return one row for all of a kind that is in order, and one for each reason why others are not."""
    if not kind:
        return [*rows]
    right = [row for row in rows if row[1] == "ok"]
    summed: list[Row] = [(kind, "ok", _SUMS[kind](right))] if right else []
    reasons: dict[tuple[str, str], list[str]] = {}
    for what, state, text in rows:
        if state != "ok":
            name = what.split()[-1]
            reasons.setdefault((state, text.replace(name, "NAME")), []).append(name)
    for (state, text), names in reasons.items():
        reason = text.replace("NAME", names[0]) if len(names) == 1 else text
        summed.append((kind, state, f"{', '.join(names)}: {reason}"))
    return summed


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(what.split()[-1] for what, _, _ in rows)


def _versions(rows: Sequence[Row]) -> str:
    return ", ".join(f"{what} {version}" for what, _, version in rows)


def _places(rows: Sequence[Row]) -> str:
    """Return which models are on this machine, and how many come from the Hub."""
    here = [what for what, _, text in rows if not text.startswith(FROM_HUB)]
    return f"{', '.join(here) or 'none'} here; {len(rows) - len(here)} from the Hub (`deltabench list models`)"


_SUMS = {"packages": _versions, "models": _places, "launchers": _names, "trackers": _names}
FROM_HUB = "from the Hub"


def probe() -> dict[str, str | int]:
    """Return what torch sees: the number of GPUs and of threads. It runs in a child process."""
    import torch

    return {
        "gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "threads": torch.get_num_threads(),
    }


def _sections() -> Iterator[tuple[str, list[Row]]]:
    """Yield (kind, rows), a row being (what, "ok" | "no" | "bad", explanation); a run can do without what is "no".

    The kind is "" for rows that are shown each.
    """
    about = provenance.gather()
    machine = about["machine"]
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB"
    yield (
        "",
        [
            ("machine", "ok", f"{machine['cores']} cores, {memory}, {machine['processor']}"),
            ("python", "ok", about["python"]),
        ],
    )
    packages = about["packages"].items()
    yield "packages", [(name, "ok" if version else "bad", version or "not installed") for name, version in packages]
    yield "", [_bf16(), _isolation(), ("cells", "ok", f"{sweep.slots(Runtime())} at once by default"), *rows()]
    yield "models", [*_models()]
    missing = {name: launchers.missing(name) for name in options.names("launcher")}
    yield (
        "launchers",
        [(f"launcher {name}", "no" if why else "ok", why or "can be used here") for name, why in missing.items()],
    )
    there = {name: follower.installed(name) for name in follower.NAMES}
    yield (
        "trackers",
        [
            (f"tracker {name}", "ok" if here else "no", "installed" if here else f"pip install {name}")
            for name, here in there.items()
        ],
    )
    offline = bool(os.environ.get("HF_HUB_OFFLINE"))
    hub = "offline by HF_HUB_OFFLINE" if offline else "used when a model or a task needs it"
    yield "", [("hub", "ok", hub), _writable(located(str(compose.defaults()["runtime"]["store"])))]


def _bf16() -> Row:
    """Return whether the processor has instructions for products in bfloat16, with which recipe.precision=bf16 pays."""
    flags = cpu_features.bf16()
    if flags is None:
        return "bf16", "no", "this system does not list the instructions of its processor"
    if not flags:
        return "bf16", "no", "the processor has no instructions for it: with recipe.precision=bf16 it is emulated"
    return (
        "bf16",
        "ok",
        f"{' '.join(flags)}: recipe.precision=bf16 shortens large products; casts lengthen small models",
    )


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


def _models() -> Iterator[Row]:
    """Yield a row for every model, from its flat YAML: composing them all would take seconds."""
    from harness.models import weight_files

    for name, path in conf_files.files("model").items():
        try:
            content = yaml_values.load(plain_files.read_text(path))
            config = build(ModelConfig, {"name": name, **content}, "model")
            if config.source == "hub":
                yield name, "ok", f"{FROM_HUB}: {config.location}"
            elif file := weight_files.unconverted(config):
                yield name, "ok", f"{config.source}, {file.name}, which is converted when it is first used"
            else:
                settled = weight_files.resolve(config)
                yield name, "ok", f"{settled.source}, revision {settled.revision[:12]}"
        except (UsageError, OSError, ValueError, TypeError) as error:
            yield name, "no", " ".join(str(error).split())[:300]


def _writable(path: Path) -> tuple[str, str, str]:
    """Return whether the store, or the nearest existing folder above it, can be written to."""
    there = next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there):
            return "store", "ok", str(path)
    except OSError as error:
        return "store", "bad", f"{path}: {error.strerror}"


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
