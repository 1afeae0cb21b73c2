"""What an installed copy needs travels in the wheel: every YAML, weight, published number and reference run."""

import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAVELS = {"conf": "harness/_assets/conf", "results/published": "harness/_assets/results/published",
           "results/reference": "harness/_assets/results/reference", "tasks": "tasks", "methods": "methods",
           "harness": "harness"}  # fmt: skip


def test_the_wheel_holds_every_tracked_file_of_its_folders(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    listed = subprocess.run(["git", "ls-files", "-z", *TRAVELS], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    [built] = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as packed:
        held = set(packed.namelist())
    tracked = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    wanted = {_place(name) for name in tracked}
    assert len(wanted) > 100
    assert wanted <= held, sorted(wanted - held)[:10]
    assert not [name for name in held if name.startswith("tests/")]


def _place(name: str) -> str:
    """Where a tracked file is in the wheel."""
    folder = next(folder for folder in TRAVELS if name.startswith(f"{folder}/"))
    return TRAVELS[folder] + name.removeprefix(folder)
