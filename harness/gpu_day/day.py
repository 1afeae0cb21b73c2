"""A day with a GPU on the disk: what it runs on, and the rows of each part, written as they come. Torch-free.

day.json            the device, the driver, the versions and the commit
rows/PART.jsonl     one JSON line for each figure of a part; of several lines with one name the last one counts
log/PART.txt        what its processes print
store, …            the records of cells
export/             the day as it is published
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import assets
from harness.config import yaml_values
from harness.config.schema import Cell
from harness.config.step_load import Load
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.experiments.grids.holes import Hole
from harness.files import atomic_files, plain_files
from harness.store import identity

Row = dict[str, Any]
ENDED = ("done", "oom", "impossible")
"""Statuses of rows that a repeated command leaves as they are."""
WITHDRAWN = "withdrawn"
"""The status of a row that no longer counts: that of a part which failed as a whole, and later did not."""
ABOUT = "day.json"
SETTINGS = "gpu_day"
"""The folder of conf/ with the shapes of each part."""


@dataclass(frozen=True)
class Day:
    """A day on one device.

    - folder: where everything is written.
    - dry: whether tiny shapes run on the CPU, to try the day before there is a GPU.
    - model: a folder with the model of the real training; None looks for its package.
    """

    folder: Path
    dry: bool
    model: str | None = None

    @property
    def device(self) -> str:
        """Return the device that everything runs on."""
        return "cpu" if self.dry else "cuda"

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write what the day runs on.

        Raise UsageError where the folder holds the day of another device, and where it cannot be written.
        """
        path = self.folder / ABOUT
        if path.is_file():
            known = plain_files.read_json(path)
            for name in ("dry", "device"):
                if known.get(name) != about.get(name):
                    raise UsageError(
                        f"--out {self.folder}: it holds a day with {name}={known.get(name)}, and this one has "
                        f"{name}={about.get(name)}. Name another folder."
                    )
            about = {**about, "started": known.get("started", about["started"])}
        try:
            for place in ("rows", "log"):
                (self.folder / place).mkdir(parents=True, exist_ok=True)
            atomic_files.write_json(path, about)
        except OSError as error:
            raise UsageError(
                f"--out {self.folder}: it cannot be written ({error.strerror}). Name another folder."
            ) from error

    def about(self) -> dict[str, Any]:
        """Return what `begin` wrote."""
        return plain_files.read_json(self.folder / ABOUT)

    def rows(self, part: str) -> list[Row]:
        """Return the rows of a part, the last one of each name."""
        path = self._file(part)
        last = {row["name"]: row for row in plain_files.read_lines(path)} if path.is_file() else {}
        return [row for row in last.values() if row["status"] != WITHDRAWN]

    def keep(self, part: str, row: Row) -> None:
        """Add a row to a part."""
        atomic_files.append_json(self._file(part), {**row, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})

    def ended(self, part: str) -> frozenset[str]:
        """Return the names of the rows of a part that are not measured again."""
        return frozenset(row["name"] for row in self.rows(part) if row["status"] in ENDED)

    def log(self, part: str) -> Path:
        """Return the file for what a part's processes print."""
        return self.folder / "log" / f"{part}.txt"

    def settings(self, part: str) -> dict[str, Any]:
        """Return the shapes of a part, by its YAML: `gpu`, or `dry` for the CPU."""
        content = yaml_values.load(plain_files.read_text(assets.conf() / SETTINGS / f"{part}.yaml"))
        chosen: dict[str, Any] = content["dry" if self.dry else "gpu"]
        return chosen

    def _file(self, part: str) -> Path:
        return self.folder / "rows" / f"{part}.jsonl"


def cells(blocks: Any, holes: list[Hole] | None = None) -> list[Cell]:
    """Return the cells of blocks as an exhibit's grid has them. holes: takes the combinations that cannot run."""
    return grid.expand(blocks if isinstance(blocks, list) else [blocks], holes)


def load(settings: Mapping[str, Any], **more: Any) -> Load:
    """Return the lengths of a part's rows, and the kernel. more: further fields of the load."""
    return Load(int(settings["input_tokens"]), int(settings["target_tokens"]), **more)


def named(cell: Cell) -> str:
    """Return the method and the model of a cell as a row names them."""
    return f"{cell.method.name} on {cell.model.name}"


def as_json(many: list[Cell]) -> Iterator[Mapping[str, Any]]:
    """Yield the cells as processes take them."""
    yield from map(identity.to_json, many)
