"""A cell run as run.py runs it, bit for bit, that also saves its delta at the steps that the probes need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from harness import run as cell_run
from harness.config.schema import Cell, Runtime
from harness.measurement.meter import Meter
from harness.probes import registry as probes
from harness.store import attempt_folder
from harness.store.attempt_folder import AttemptFolder
from harness.training import checkpoint, determinism, trained_tensors
from harness.training.checkpoint import Keeper, Place
from methods.attachment.delta_state import delta_state


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """Run a cell as harness.run.run does, and save more deltas."""
    return cell_run.run(cell, runtime, folder, watching)


def watching(cell: Cell, runtime: Runtime, folder: AttemptFolder, device: torch.device) -> "Watching":
    """Return a keeper of the usual checkpoints and of the deltas that this run's probes need."""
    usual = checkpoint.keeper(cell, runtime, folder, device)
    at = probes.snapshot_steps(probes.parse(runtime.probe), cell.recipe.steps) if runtime.keep == "delta" else ()
    frequency = usual.steps, usual.minutes, usual.stop_at
    return Watching(folder, usual.made_by, *frequency, at=frozenset(at) - {cell.recipe.steps})


@dataclass
class Watching(Keeper):
    """A keeper that also acts after the steps `at`, where it saves the delta. The last step's delta is always saved."""

    at: frozenset[int] = frozenset()
    _seen: set[int] = field(default_factory=set)

    def open(self, model: nn.Module) -> Place | None:
        """Return the place to resume from, as `Keeper.open` does; None at the start."""
        self._seen.clear()  # a training that starts again passes the same steps
        return super().open(model)

    def due(self, step: int) -> bool:
        """Return whether a snapshot or a checkpoint is due after `step` steps."""
        return self._wants(step) or super().due(step)

    def save(
        self, place: Place, model: nn.Module, trained: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer, meter: Meter,
    ) -> None:  # fmt: skip
        """Store a snapshot where one is due, and the checkpoint. trained: parameters of any shape by name."""
        if self._wants(place.step):
            self._keep(place.step, model)
        if super().due(place.step):
            super().save(place, model, trained, optimizer, meter)

    def _wants(self, step: int) -> bool:
        return step in self.at and step not in self._seen

    def _keep(self, step: int, model: nn.Module) -> None:
        """Save the delta of a step. Where that fails, training goes on, and the probe will report what is missing."""
        assert self.folder is not None, "only a run with a folder is watched"
        self._seen.add(step)
        device = next(model.parameters()).device
        random = determinism.states(device)  # merging a reparametrisation may draw random numbers
        try:
            trained_tensors.save(self.folder, attempt_folder.name(step), delta_state(model))
        except (OSError, SafetensorError, RuntimeError, MemoryError) as error:
            print(f"the delta of step {step} was not saved: {type(error).__name__}: {error}")
        finally:
            determinism.restore(random, device)
