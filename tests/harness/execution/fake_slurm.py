"""Slurm on one machine, for tests: sbatch (with arrays), srun, sacct and scontrol requeue, each called by its name.

State lies in the folder $FAKE_SLURM: `script-<job>`, and `<job>_<task>.pid` with the process group of a running task.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

TOOLS = ("sbatch", "srun", "sacct", "scontrol")


def install(folder: Path) -> None:
    """The tools as programs in a folder, which goes to the front of PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        path = folder / tool
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {tool} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def sbatch(script: str) -> None:
    number = 100 + len(list(_state().glob("script-*")))
    text = Path(script).read_text(encoding="utf-8")
    (_state() / f"script-{number}").write_text(text, encoding="utf-8")
    array = re.search(r"^#SBATCH --array=0-(\d+)", text, re.MULTILINE)
    for task in range(int(array[1]) + 1) if array else [None]:
        _start(number, task)
    print(f"Submitted batch job {number}")


def srun(*words: str) -> None:
    """The command after the options; an option is followed by its value, except for --unbuffered."""
    rest = list(words)
    while rest[0].startswith("--"):
        del rest[: 1 if rest[0] == "--unbuffered" else 2]
    os.execvp(rest[0], rest)


def scontrol(verb: str, job: str) -> None:
    assert verb == "requeue"
    number, _, task = job.partition("_")
    _start(int(number), int(task) if task else None)


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for path in _state().glob("*.pid"):
        lives = Path(f"/proc/{path.read_text()}").exists()
        print(f"{path.stem}|{'RUNNING' if lives else 'COMPLETED'}|localhost")


def _start(number: int, task: int | None) -> None:
    job = str(number) if task is None else f"{number}_{task}"
    own = {"SLURM_JOB_ID": str(number), "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
    own |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "localhost"}
    if task is not None:
        own |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
    with (_state() / f"{job}.log").open("a") as log:
        process = subprocess.Popen(
            ["bash", str(_state() / f"script-{number}")],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (_state() / f"{job}.pid").write_text(str(process.pid), encoding="utf-8")


def _state() -> Path:
    return Path(os.environ["FAKE_SLURM"])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
