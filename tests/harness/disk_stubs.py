"""Runs that fill the disk their attempt is on."""

from pathlib import Path
from typing import Any

from harness.config.schema import Cell, Runtime
from harness.store.attempt_folder import AttemptFolder

JUNK = "junk.bin"


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """`gorge` fills it while the file `full` is beside the data; everything else writes a little and ends well."""
    if cell.method.name == "gorge" and (Path(cell.task.data_dir or ".") / "full").exists():
        with (folder.path / JUNK).open("wb", buffering=0) as file:
            for size in (65_536, 512, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue
    folder.append("curve.jsonl", {"step": 1, "scores": {"validation": 0.5}})
    with folder.atomic("delta-best.safetensors") as path:
        path.write_bytes(b"w" * 20_000)
    point = {"step": 1, "sets": {"test": {"accuracy": 0.5}}}
    return {"scores": {"best": point, "last": point}}
