"""What a cell reads before it trains, as text. Cells with one text can have it read once (processes/hosts.py).

Torch is not imported.
"""

import json
from dataclasses import replace
from pathlib import Path

from harness.config.schema import Cell, MethodConfig, RecipeConfig, Runtime
from harness.errors import UsageError
from harness.models import weight_files
from harness.store import identity
from tasks import registry as tasks

READER = "harness.training.shared.kept:read"
LARGEST = 2**27
"""The most bytes of weights that are kept for later cells. To read larger ones is a small part of their training."""


def text(cell: Cell, runtime: Runtime) -> str | None:
    """Return what the cell reads; None where it reads for itself alone.

    It does so on a GPU, since a process that has asked for a device cannot be copied, and where code from elsewhere
    takes part, which may change from cell to cell.
    """
    on_gpu = runtime.device != "cpu" and Path("/dev/nvidiactl").exists()
    if on_gpu or cell.recipe.parallel != "none" or cell.model.trust_remote_code or tasks.foreign():
        return None
    try:
        if cell.model.weights == "pretrained" and not 0 < _bytes(cell) <= LARGEST:
            return None
    except (UsageError, OSError):  # the cell meets it again, and tells
        return None
    read = RecipeConfig(dropout=cell.recipe.dropout, loss_on=cell.recipe.loss_on, precision=cell.recipe.precision)
    seed = cell.seed if cell.task.shots else 0
    plain = replace(cell, method=MethodConfig("none", {}), recipe=read, seed=seed, parents=())
    return json.dumps(identity.to_json(plain), sort_keys=True)


def _bytes(cell: Cell) -> int:
    """Return the bytes of the weights on this machine; 0 for a model of the Hub, which may have to be downloaded."""
    if weight_files.with_source(cell.model).source == "hub":
        return 0
    return sum(file.stat().st_size for file in weight_files.folder(cell.model).glob("*.safetensors"))
