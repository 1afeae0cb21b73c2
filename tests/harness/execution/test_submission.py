"""The script of a cluster is the launcher's own, and nothing is handed over."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.config import launchers
from harness.config.launchers import Launcher
from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.execution import launch, submission
from tests.harness.execution import fake_slurm


def _plan(store: Path, tool: str | None = "sbatch") -> launch.Plan:
    return launch.Plan("slurm", {"tool": tool, "batch": 2, "jobs": 2}, 2, Runtime(store=str(store)))


def test_the_program_gets_the_script_and_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def launched(name: str, settled: dict[str, Any], jobs: list[list[str]], task: Any) -> list[Exception]:
        folder = Path(settled["folder"]).parent
        folder.mkdir()
        (folder / "job.sh").write_text(f"#!/bin/bash\n#SBATCH --array=0-{len(jobs) - 1}\nsrun {folder}\n")
        print("noise of the launcher")
        done = subprocess.run(["sbatch", str(folder / "job.sh")], check=False)
        return [RuntimeError(f"exit code {done.returncode}")]

    monkeypatch.setattr("harness.config.compose.launch", launched)
    before = os.environ["PATH"]
    text = submission.script(_plan(tmp_path / "store"), ["a", "b", "c"], tmp_path / "store")
    assert text == f"#!/bin/bash\n#SBATCH --array=0-1\nsrun {tmp_path / 'store' / 'launcher'}"
    assert os.environ["PATH"] == before
    assert not (tmp_path / "store").exists()


def test_a_launcher_that_does_not_come_so_far_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.config.compose.launch", lambda *given: [ValueError("no partition")])
    with pytest.raises(UsageError, match="starts no cell: no partition"):
        submission.script(_plan(tmp_path), ["a"], tmp_path)
    monkeypatch.undo()


def test_a_launcher_without_a_program_has_no_script(tmp_path: Path) -> None:
    assert submission.script(_plan(tmp_path, tool=None), ["a"], tmp_path) is None
    assert submission.script(_plan(tmp_path), [], tmp_path) is None


def test_the_script_of_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path))
    if reason := launchers.missing("slurm"):
        pytest.skip(reason)
    asked = Launcher("slurm", {"partition": "gpu", "time": "2h", "cpus": "3"})
    plan = launch.plan(asked, None, Runtime(store=str(tmp_path / "store"), device="cpu"), 4)
    text = submission.script(plan, list("abcd"), tmp_path / "store")
    assert text is not None
    assert text.startswith("#!/bin/bash")
    for line in ("--array=0-3%4", "--partition=gpu", "--time=120", "--cpus-per-task=3", "--requeue"):
        assert f"#SBATCH {line}" in text
    assert str(tmp_path / "store" / "launcher") in text
    assert not list(tmp_path.glob("script-*"))
