"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314) and QDoRA (answer.ai; Liu et al. 2024, section 6.1): LoRA and DoRA on
a frozen base in four bits, NF4 with double quantisation (sections 3.1 and 3.2), through bitsandbytes.

Parameters: those of LoRA and of DoRA. All linears of the blocks are quantised, except those that the model keeps
in single precision (T5's feed-forward out); embeddings, norms and output layer stay as they are. So the start is
the quantised backbone, not the backbone, and the delta belongs to that: it cannot be merged without rounding.
Deviations: no paged optimiser.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from harness.errors import NotApplicable
from methods.anatomy import LINEAR_ROLES, family, find
from methods.dora import DoRA
from methods.lora import LoRA


def quantise(model: Any) -> None:
    """Put a four-bit linear in the place of every linear of the blocks.

    NotApplicable without bitsandbytes, and where no weight of the blocks is a linear's.
    """
    bnb = _library()
    kept, done = [*(getattr(model, "_keep_in_fp32_modules", None) or ())], 0
    for path in [path for role in LINEAR_ROLES for path in find(model, role)]:
        host = model.get_submodule(path)
        if type(host) is not nn.Linear or any(re.search(rf"\b{name}\b", path) for name in kept):
            continue
        made = bnb.nn.Linear4bit(
            host.in_features, host.out_features, host.bias is not None, host.weight.dtype, quant_type="nf4",
            device="meta",
        )  # fmt: skip
        made.weight = bnb.nn.Params4bit(host.weight.data, requires_grad=False, quant_type="nf4", module=made)
        made.bias = host.bias
        made.support_avx512bf16_for_cpu = False  # else evaluation on a CPU repacks the weight and rounds to bfloat16
        parent, _, child = path.rpartition(".")
        device = host.weight.device
        setattr(model.get_submodule(parent), child, (made if device.type == "meta" else made.to(device)).eval())
        done += 1
    if not done:
        raise NotApplicable(f"four-bit bases: family {family(model).name} has no ordinary linears to put in four bits")


def _library() -> Any:
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise NotApplicable("four-bit bases need bitsandbytes: pip install 'deltabench[qlora]'") from error


def _refuse(name: str) -> NotApplicable:
    return NotApplicable(f"method {name} cannot be merged: its base is in four bits, and would be rounded again")


@dataclass(frozen=True)
class QLoRA(LoRA):
    """Low-rank updates of four-bit linears."""

    name: ClassVar[str] = "qlora"
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = False

    def attach(self, model: nn.Module) -> None:
        quantise(model)
        super().attach(model)

    def merge(self, model: nn.Module) -> None:
        raise _refuse(self.name)


@dataclass(frozen=True)
class QDoRA(DoRA):
    """Magnitudes and low-rank directions on four-bit linears."""

    name: ClassVar[str] = "qdora"
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = False

    def attach(self, model: nn.Module) -> None:
        quantise(model)
        super().attach(model)

    def merge(self, model: nn.Module) -> None:
        raise _refuse(self.name)
