"""Training steps as code that torch compiles, which is kept on the disk for later cells and commands.

The slow form is the model as it is. To compile takes minutes, and the first cell of an architecture pays for it: later
ones find the code in TORCHINDUCTOR_CACHE_DIR, else in `deltabench` of the user's cache. Evaluations are not compiled,
because the shapes of their batches are others. A record of such a cell has neither times nor memory.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.paths import cached

BACKEND = "inductor"
NOTE = "its steps ran as code compiled by torch"
PLACE, WORKERS = "TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"


class Compiled:
    """The compiled forward pass of a model, which is its own outside of `steps`."""

    def __init__(self, model: Any) -> None:
        """Let torch compile what the model computes in `steps`, when it is first computed."""
        os.environ.setdefault(PLACE, str(place()))
        os.environ.setdefault(WORKERS, "1")  # others would be processes of their own, which outlive the cell
        import torch._inductor.config as settings

        settings.fallback_random = True  # dropout draws the numbers that it draws without
        self._model = model
        model.compile(backend=BACKEND, dynamic=True)  # batches differ in their lengths
        self._call, model._compiled_call_impl = model._compiled_call_impl, None

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Let the model run as compiled code while the block runs. Raise UsageError where torch cannot compile it."""
        from torch._dynamo.exc import TorchDynamoException

        self._model._compiled_call_impl = self._call
        try:
            yield
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"compile=true: torch cannot compile this model here ({type(error).__name__}: {reason:.200}). "
                "Leave compile out."
            ) from error
        finally:
            self._model._compiled_call_impl = None


def place() -> Path:
    """Return the folder of compiled code in the user's cache."""
    return cached("compiled")
