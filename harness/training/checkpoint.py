"""Checkpoints of a training, so that an attempt whose process died resumes from the last one, bit for bit.

One safetensors file in the attempt's folder, replaced atomically: trained tensors and whatever else training has
changed (model_state.py), optimiser, random states, the step, the losses since the last evaluation, the curve, the best
point, what the meter has counted. The learning rate and the rows of a step follow from its number (by
course/learning_rates.py and batches.Order). The worker hands the file on from attempt to attempt and removes it when
the cell has ended.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from harness.config.schema import Cell, Runtime
from harness.environment import STOP_AT
from harness.measurement.memory_sampler import most
from harness.measurement.meter import Meter
from harness.measurement.step_timer import Steps
from harness.store import fingerprint, identity
from harness.store.attempt_folder import CHECKPOINT, CURVE, RESUMED, AttemptFolder
from harness.training import determinism, model_state, tensor_file

FORMAT = 1
LOADING = ("prepare", "load")
LEAST_SHARE = 20
"""By the clock, a checkpoint is due after at least so many times what the last one took."""


class Stopped(Exception):
    """The time of the command is over (`--for`); the cell goes on from its checkpoint in a later one."""

    status = "interrupted"

    def __init__(self, step: int) -> None:
        super().__init__(f"the time of the command was over after step {step}")
        self.step = step


class Unusable(Exception):
    """The model could not be brought to where the checkpoint was made: begin anew, on a new model."""


@dataclass(frozen=True)
class Place:
    """Where training stands: `step` steps are done, in stage `stage`; `losses` since the last evaluation; the best
    evaluation in this stage (plain values and tensors) or None; the rows of the curve."""

    stage: int
    step: int
    losses: Sequence[float] = ()
    best: dict[str, Any] | None = None
    curve: Sequence[dict[str, Any]] = ()


@dataclass
class Keeper:
    """Of one run. made_by: what must be the same for a checkpoint to be used. steps, minutes: how often; 0: never.

    stop_at: the time, in seconds since the epoch, at which training saves a checkpoint and stops.
    trained: what trains in any stage, by name. trouble: why the last checkpoint could not be written, if so.
    """

    folder: AttemptFolder | None = None
    made_by: Mapping[str, str | int] = field(default_factory=dict)
    steps: int = 0
    minutes: float = 0.0
    stop_at: float = math.inf
    trouble: str = ""
    _at: int = 0
    _time: float = field(default_factory=time.monotonic)
    _took: float = 0.0
    _resumed: list[int] = field(default_factory=list)
    _saved: dict[str, Any] = field(default_factory=dict)
    _start: model_state.Start | None = None

    def open(self, model: nn.Module) -> Place | None:
        """Return the place to resume from, or None. An unusable checkpoint is removed, and the record says why."""
        if self.steps or self.minutes or self.stop_at < math.inf:
            self._start = model_state.start(model)
        path = self.folder.path / CHECKPOINT if self.folder else None
        if self.folder is None or path is None or not path.exists():
            return None
        try:
            self._saved = tensor_file.read(path)
            different = [name for name, value in self._wanted().items() if self._saved["made_by"].get(name) != value]
            if not different:
                self._resumed = [*self._saved["resumed"], self._saved["place"]["step"]]
                return Place(**self._saved["place"])
            reason = f"the checkpoint is of another {', '.join(different)}"
        except (tensor_file.Broken, KeyError, TypeError, AttributeError) as error:
            reason = f"the checkpoint cannot be read ({error})"
        self.refuse(reason)
        return None

    def resume(
        self, place: Place, model: nn.Module, trained: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer, meter: Meter,
    ) -> None:  # fmt: skip
        """Restore everything to its state at `place`; the stages up to it have begun again.

        trained: parameters by name, in the shapes of the checkpoint. Raise Unusable where it does not fit.
        """
        assert self.folder is not None, "a place comes from a folder"
        saved, self._saved = self._saved, {}
        try:
            model_state.put(model, trained, saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            _count_on(meter, saved["meter"])
            determinism.restore(saved["random"], _device(model))
        except Exception as error:  # of whatever kind: a new beginning needs nothing of this file
            raise Unusable(
                f"the checkpoint of step {place.step} does not fit ({type(error).__name__}: {error})"
            ) from error
        for row in place.curve:
            self.folder.append(CURVE, row)
        self.folder.write(RESUMED, {"resumed_from": self._resumed})
        self._at, self._time = place.step, time.monotonic()
        print(f"resumed from step {place.step}")

    def refuse(self, reason: str) -> None:
        """Start the training anew, and record the reason."""
        assert self.folder is not None, "what is refused comes from a folder"
        (self.folder.path / CHECKPOINT).unlink(missing_ok=True)
        self.folder.write(RESUMED, {"restarted": reason})
        print(f"started anew: {reason}")

    def due(self, step: int) -> bool:
        """Return whether training is to be saved after `step` steps."""
        if self.over() or (self.steps and step - self._at >= self.steps):
            return True
        return bool(self.minutes) and time.monotonic() - self._time >= max(60 * self.minutes, LEAST_SHARE * self._took)

    def over(self) -> bool:
        """Return whether the time of the command is over."""
        return time.time() >= self.stop_at

    def save(
        self, place: Place, model: nn.Module, trained: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer, meter: Meter,
    ) -> None:  # fmt: skip
        """Write the checkpoint: `trained` by name, in their shapes. Where that fails, training goes on without."""
        assert self.folder is not None, "only a run with a folder asks for checkpoints"
        assert self._start is not None, "`open` comes first"
        began = time.monotonic()
        try:
            content = {
                "made_by": self._wanted(),
                "resumed": self._resumed,
                "place": vars(place),
                "model": model_state.take(model, trained, self._start),
                "optimizer": optimizer.state_dict(),
                "meter": _counted(meter),
                "random": determinism.states(_device(model)),
            }
            with self.folder.atomic(CHECKPOINT) as path:
                tensor_file.write(path, content)
            self.trouble = ""
        except (OSError, SafetensorError, TypeError, RuntimeError, MemoryError) as error:
            self.trouble = f"not written at step {place.step}: {type(error).__name__}: {error}"
            print(f"checkpoint {self.trouble}")
        self._at, self._time, self._took = place.step, time.monotonic(), time.monotonic() - began

    def note(self) -> dict[str, str]:
        """Return what the record's notes say about the checkpoint."""
        return {"checkpoint": self.trouble} if self.trouble else {}

    def _wanted(self) -> dict[str, str | int]:
        return {"format": FORMAT, "torch": torch.__version__, **self.made_by}


def keeper(cell: Cell, runtime: Runtime, folder: AttemptFolder, device: torch.device) -> Keeper:
    """Return the keeper of one attempt at a cell. A checkpoint is used only on the same kind of device and by the same
    code.
    """
    code = fingerprint.exact(cell)
    made_by = {"key": identity.key(cell), "code": code, "device": device.type}
    saved = cell.recipe.parallel != "fsdp"  # its shards are in no checkpoint; its worker ends it
    stop_at = float(os.environ.get(STOP_AT, math.inf)) if saved else math.inf
    return Keeper(folder, made_by, runtime.checkpoint_steps, runtime.checkpoint_minutes, stop_at)


def _counted(meter: Meter) -> dict[str, Any]:
    """Return the figures of the whole training over all its attempts, without the loading, which each repeats."""
    seconds = {phase: spent for phase, spent in meter.seconds.items() if phase not in LOADING}
    peaks = {phase: dict(figures) for phase, figures in meter.peaks.items() if phase not in LOADING}
    return {"steps": vars(meter.steps), "seconds": seconds, "peaks": peaks}


def _count_on(meter: Meter, saved: Mapping[str, Any]) -> None:
    meter.steps = Steps(**saved["steps"])
    for phase, spent in saved["seconds"].items():
        meter.seconds[phase] = meter.seconds.get(phase, 0.0) + spent
    for phase, figures in saved["peaks"].items():
        mine = meter.peaks.setdefault(phase, {})
        for figure, value in figures.items():
            mine[figure] = most(mine.get(figure), value)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
