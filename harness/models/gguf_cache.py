"""Models of GGUF files (llama.cpp's format), converted once into safetensors in the user's cache. Torch-free.

A converted model lies in a folder that is named by the digest of its GGUF file, so no other file is ever taken for it.
It is made beside that place and renamed, so a folder of that name is whole, and of two processes that convert at once
the first one's result counts.

    DIGEST/config.json, model.safetensors, tokenizer.json, …    what transformers makes of the file
    DIGEST/gguf.json                                            the file's digest, its kinds of numbers, and the sizes
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.files import atomic_files, plain_files, strict_json
from harness.models import digest
from harness.paths import CACHE, cached

SUFFIX = ".gguf"
MANIFEST = "gguf.json"
MAGIC = b"GGUF"
PACKAGE = "gguf"
"""The package that reads the format, for transformers too."""
ABANDONED_S = 86_400
"""Seconds after which an unfinished conversion counts as that of a process that was killed."""
CONVERSION = "harness.models.gguf_conversion"


def is_gguf(path: Path) -> bool:
    """Return whether a path is a file with the suffix of the format."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def root() -> Path:
    """Return the folder of the converted models."""
    return cached("gguf")


def place(file: Path) -> Path:
    """Return the folder of a file's converted model, whether it is there or not."""
    return root() / digest.of_file(file)


def folder(file: Path) -> Path:
    """Return the folder with the converted model of a GGUF file, after converting it where that was not done before.

    Raises UsageError for a file that is cut off or that transformers cannot read, without the package that reads it,
    and where the cache cannot be written.
    """
    there = place(file)
    if not is_whole(there):
        _check(file)
        _convert(file, there)
    return there


def is_whole(there: Path) -> bool:
    """Return whether a folder holds a converted model with all of its files."""
    sizes = manifest(there).get("sizes")
    if not isinstance(sizes, dict) or not sizes:
        return False
    return all((there / name).is_file() and (there / name).stat().st_size == size for name, size in sizes.items())


def manifest(there: Path) -> dict[str, Any]:
    """Return what is known of a folder's conversion; {} for a folder that is no converted model."""
    try:
        return plain_files.read_json(there / MANIFEST)
    except (OSError, ValueError):
        return {}


def note(there: Path) -> dict[str, str]:
    """Return the note of a record on converted weights; {} for other models."""
    known = manifest(there)
    kinds = ", ".join(f"{count} in {kind}" for kind, count in known.get("tensors", {}).items())
    return {"weights": f"dequantised to fp32 from {known['file']} ({kinds})"} if kinds else {}


def _check(file: Path) -> None:
    """Raise UsageError for a file of another format, and without the package that reads it."""
    with plain_files.opened(file, linked=True) as handle:
        if handle.read(len(MAGIC)) != MAGIC:
            raise UsageError(f"{file}: this is no GGUF file; it does not begin with the letters GGUF. Get it again.")
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(f'{file}: reading GGUF files needs the package gguf: pip install "deltabench[smollm]".')


def _convert(file: Path, there: Path) -> None:
    """Make the converted model of a file. Whatever happens, nothing half made is left at its place."""
    try:
        there.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(there.parent)
        temporary = Path(tempfile.mkdtemp(prefix=".converting-", dir=there.parent))
    except OSError as error:
        raise UsageError(
            f"{file} is converted once, and the cache {there.parent} cannot be written ({error.strerror}). Name "
            f"another one with {CACHE}."
        ) from error
    print(f"converting {file.name} once, into {there} (half a minute)", file=sys.stderr, flush=True)
    try:
        known = _run(file, temporary)
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        atomic_files.write_json(temporary / MANIFEST, {**known, "file": file.name, "gguf": there.name, "sizes": sizes})
        _put(temporary, there)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(file: Path, temporary: Path) -> dict[str, Any]:
    """Return the kinds of numbers of a file, after a process of its own has converted it: it imports torch."""
    ours = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, "-m", CONVERSION, str(file), str(temporary)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    try:
        answer: dict[str, Any] = strict_json.parse(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.splitlines() or [""])[-1]
        raise UsageError(f"{file}: its conversion ended with exit code {done.returncode} ({last:.200}).") from None
    if "error" in answer:
        raise UsageError(f"{file}: {answer['error']}")
    return answer


def _put(temporary: Path, there: Path) -> None:
    """Give a converted model its place. A whole one that another process has put there meanwhile stays."""
    for again in (True, False):
        try:
            temporary.rename(there)
            return
        except OSError:
            if is_whole(there):
                return
            if not again:
                raise
            shutil.rmtree(there, ignore_errors=True)  # half written: by a full disk, or by somebody's hand


def _remove_abandoned(parent: Path) -> None:
    """Remove what processes that were killed have left."""
    for path in parent.glob(".converting-*"):
        if time.time() - path.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
