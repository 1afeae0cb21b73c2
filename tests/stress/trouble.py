"""A method and a task of somebody else's package: cells that are quick, and that fail in the way their field says.

Installed by `kills.py` through the entry points `deltabench.methods` and `deltabench.tasks`; the harness knows neither.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.config.schema import TaskConfig
from methods.base import Method, Shape
from tasks.base import Example, Splits, TaskRow


@dataclass(frozen=True)
class Troubled(Method):
    """Trains the norms, slowly; at step `at` it meets its `fault`."""

    name: ClassVar[str] = "troubled"

    fault: Literal["none", "crash", "memory", "hang", "nan", "error"] = "none"
    at: int = 5
    pause_ms: int = 100

    def attach(self, model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim == 1)

    def closed_form(self, shape: Shape) -> int:
        return shape.norms * shape.width

    def after_step(self, model: nn.Module, step: int) -> None:
        time.sleep(self.pause_ms / 1000)
        if step != self.at:
            return
        if self.fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.fault == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory, or so it says")
        elif self.fault == "hang":
            time.sleep(3600)
        elif self.fault == "error":
            raise ValueError("as asked")
        elif self.fault == "nan":
            next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))


def _rows(split: str, count: int) -> tuple[Example, ...]:
    words = (("a bad shop", "a poor room"), ("a good shop", "a fine room"))
    return tuple(
        Example(f"{split}-{i}", {"text": f"{words[i % 2][i // 2 % 2]} {split} {i}"}, label=i % 2) for i in range(count)
    )


def _load(_: TaskConfig) -> Splits:
    return Splits(_rows("train", 16), _rows("validation", 8), {"test": _rows("test", 8)})


TASKS: Mapping[str, TaskRow] = {
    "trouble/tiny": TaskRow("stress", "{text} :", "accuracy", _load, label_words=("bad", "good"), chance=0.5),
}
