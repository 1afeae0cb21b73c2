"""A frozen base in four or eight bits, through bitsandbytes.

Four: NF4 with double quantisation (Dettmers et al. 2023, arXiv 2305.14314, sections 3.1 and 3.2). Eight: LLM.int8()
(Dettmers et al. 2022, arXiv 2208.07339, section 3), whose inputs are rounded too but for features above 6.0.

All linears of the blocks are quantised, except those that the model keeps in single precision (T5's feed-forward
out); embeddings, norms and output layer stay as they are.
"""

import importlib
import logging
import re
from typing import Any

from torch import nn

from harness.errors import NotApplicable
from methods.backbone.roles import family, find
from methods.backbone.targets import LINEAR_ROLES

BITS = (4, 8)
OUTLIER = 6.0  # section 3.2 of LLM.int8()


def quantise(model: Any, bits: int) -> None:
    """Replace every linear of the blocks by a quantised one.

    Raise NotApplicable without bitsandbytes, and where no weight of the blocks is a linear's.
    """
    bnb, make = _library(), {4: _four, 8: _eight}[bits]
    excluded, done = [*(getattr(model, "_keep_in_fp32_modules", None) or ())], 0
    for path in [path for role in LINEAR_ROLES for path in find(model, role)]:
        host = model.get_submodule(path)
        if type(host) is not nn.Linear or any(re.search(rf"\b{name}\b", path) for name in excluded):
            continue
        made = make(bnb, host)
        made.bias = host.bias
        parent, _, child = path.rpartition(".")
        device = host.weight.device
        setattr(model.get_submodule(parent), child, (made if device.type == "meta" else made.to(device)).eval())
        done += 1
    if not done:
        raise NotApplicable(f"quantised bases: family {family(model).name} has no ordinary linears to quantise")


def _four(bnb: Any, host: nn.Linear) -> Any:
    biased, dtype = host.bias is not None, host.weight.dtype
    made = bnb.nn.Linear4bit(host.in_features, host.out_features, biased, dtype, quant_type="nf4", device="meta")
    made.weight = bnb.nn.Params4bit(host.weight.data, requires_grad=False, quant_type="nf4", module=made)
    made.support_avx512bf16_for_cpu = False  # else evaluation on a CPU repacks the weight and rounds to bfloat16
    return made


def _eight(bnb: Any, host: nn.Linear) -> Any:
    how = {"has_fp16_weights": False, "threshold": OUTLIER, "device": "meta"}
    made = bnb.nn.Linear8bitLt(host.in_features, host.out_features, host.bias is not None, **how)
    made.weight = bnb.nn.Int8Params(host.weight.data, requires_grad=False, has_fp16_weights=False)
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # it warns of any input but fp16
    return made


def _library() -> Any:
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise NotApplicable("quantised bases need bitsandbytes: pip install 'deltabench[qlora]'") from error
