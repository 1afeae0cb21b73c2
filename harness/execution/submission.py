"""The script that a cluster's program would be given, without handing anything over. Torch is not imported.

The launcher does all of its work; only the program that it calls at the end (Slurm's sbatch) is a stand-in that keeps
the script and refuses it. So the script is the launcher's own text.
"""

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import environment
from harness.execution import launch
from harness.files import plain_files


def script(plan: launch.Plan, keys: Sequence[str], store: Path) -> str | None:
    """Return the script of the first batch of jobs; None for a launcher that calls no program of a cluster.

    Raises UsageError where the launcher does not come as far as calling it.
    """
    tool = plan.fields.get("tool")
    if not tool or not keys:
        return None
    with tempfile.TemporaryDirectory() as folder, _quiet():
        copy, programs = Path(folder) / "script", Path(folder) / "programs"
        programs.mkdir()
        program = programs / str(tool)
        program.write_text(f"#!/bin/sh\ncat \"$1\" > '{copy}'\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
        with environment.variables({"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}):
            lost = launch.first_batch(plan, [(key, 0) for key in keys], Path(folder))
        if not copy.is_file():
            launch.refuse(lost)
        return plain_files.read_text(copy).replace(folder, str(store.resolve())).strip()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what a launcher prints of a submission that does not happen."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
