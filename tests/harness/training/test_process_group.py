"""The processes of one cell: one result, one folder, and whoever fails is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from harness.training import process_group
from harness.store.attempt_folder import AttemptFolder
from harness.config.schema import Runtime
import torch
from torch import distributed

def body(cell, runtime, folder):
    me = process_group.mine()
    total = torch.tensor([float(me.rank + 1)])
    distributed.all_reduce(total)
    folder.write("note.json", {"rank": me.rank})
    if me.rank == 1 and cell == "fails":
        raise MemoryError("no more")
    if me.rank == 1 and cell == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if me.rank == 1 and cell == "hangs":
        time.sleep(600)
    if me.rank == 0 and cell == "hangs":
        (folder.path / "pid").write_text(str(os.getpid()))
    distributed.all_reduce(total)
    return {"total": float(total), "notes": {"device": runtime.device}}

folder = Path(sys.argv[1]) / "1"
folder.mkdir()
try:
    result = process_group.spread(body, sys.argv[2], Runtime(device="cpu", processes=3), AttemptFolder(folder))
    print(result, sorted(path.name for path in folder.iterdir()), process_group.mine())
except Exception as error:
    print(type(error).__name__, getattr(error, "status", None), error)
"""


def _run(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), what],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_one_result_and_one_folder(tmp_path: Path) -> None:
    done = _run("fine", tmp_path)
    assert "{'total': 18.0, 'notes': {'device': 'cpu', 'processes': 3}} ['note.json'] Team(rank=0, size=1)" in (
        done.stdout
    ), done.stderr


@pytest.mark.slow
def test_whoever_fails_is_named(tmp_path: Path) -> None:
    done = _run("fails", tmp_path)
    assert "Lost oom process 1 of the cell: MemoryError: no more" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_signal_to_one_is_the_cell_s(tmp_path: Path) -> None:
    done = _run("killed", tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert "process 1 of the cell was ended by SIGKILL" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_others_end_with_the_first(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "hangs"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    from tests.harness.execution.test_sweep import _members, _until

    _until(lambda: (tmp_path / "1" / "pid").exists(), 120)
    assert len(_members(process.pid)) == 3
    process.kill()
    process.communicate(timeout=60)
    _until(lambda: _members(process.pid) == [])
