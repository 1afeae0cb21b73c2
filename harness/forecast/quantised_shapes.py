"""The shapes of quantised linears where bitsandbytes cannot work: on the meta device, or not installed.

As bitsandbytes keeps them. Four bits (NF4 with double quantisation): half a byte per weight, one byte per 64 weights
for their scale, one float per 256 of those; a product makes the dense weight in the input's type, forward and
backward, and keeps neither that nor its input. Eight bits (LLM.int8()): a byte per weight and a float per row; a
product rounds its input to fp16 and to bytes, sums in 32 bits and keeps its input, and makes the dense weight backward.
"""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

LIBRARY = "bitsandbytes"
BLOCK, NESTED = 64, 256


class State:
    """What the packed bytes stand for."""

    def __init__(self, like: torch.Tensor) -> None:
        self.shape, self.dtype = like.shape, like.dtype


class Params4bit(nn.Parameter):
    """[out * in / 2, 1] bytes for a weight: [out, in]."""

    quant_state: State

    def __new__(cls, data: torch.Tensor, requires_grad: bool = False, **_: Any) -> "Params4bit":
        packed = torch.empty((data.numel() + 1) // 2, 1, dtype=torch.uint8, device=data.device)
        made: Params4bit = torch.Tensor._make_subclass(cls, packed, requires_grad)
        made.quant_state = State(data)
        return made


class Linear4bit(nn.Linear):
    """[B, T, in] -> [B, T, out]."""

    def __init__(self, d_in: int, d_out: int, bias: bool = True, *_: Any, device: Any = None, **__: Any) -> None:
        super().__init__(d_in, d_out, bias, device=device)
        scales = -(-d_in * d_out // BLOCK)
        state_shapes = {"absmax": (scales, torch.uint8), "nested_absmax": (-(-scales // NESTED), torch.float32)}
        state_shapes |= {
            "code": (16, torch.float32),
            "nested_code": (NESTED, torch.float32),
            "offset": (1, torch.float32),
        }
        for name, (count, dtype) in state_shapes.items():
            self.register_buffer(name, torch.empty(count, dtype=dtype, device=device), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the output: [B, T, out] for input: [B, T, in]."""
        made: torch.Tensor = _Product.apply(input, self.weight, self.bias)
        return made.to(input.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Params4bit, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight, ctx.dtype = weight, x.dtype
        return F.linear(x, _dense(weight, weight.quant_state, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        grad = grads[0]
        back = torch.matmul(grad, _dense(ctx.weight, ctx.weight.quant_state, grad.dtype)).to(ctx.dtype)
        return back, None, grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None


class Int8Params(nn.Parameter):
    """[out, in] bytes, and a float for each row."""

    SCB: torch.Tensor

    def __new__(cls, data: torch.Tensor, requires_grad: bool = False, **_: Any) -> "Int8Params":
        packed = torch.empty(data.shape, dtype=torch.int8, device=data.device)
        made: Int8Params = torch.Tensor._make_subclass(cls, packed, requires_grad)
        return made


class Linear8bitLt(nn.Linear):
    """[B, T, in] -> [B, T, out]."""

    def __init__(self, d_in: int, d_out: int, bias: bool = True, *_: Any, device: Any = None, **__: Any) -> None:
        super().__init__(d_in, d_out, bias, device=device)
        self.register_buffer("SCB", torch.empty(d_out, device=device), persistent=False)

    @property
    def state(self) -> "Linear8bitLt":
        """Return the layer itself: bitsandbytes keeps the rows' scales `SCB` in a state of their own."""
        return self

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the output: [B, T, out] for input: [B, T, in]."""
        made: torch.Tensor = _Rounded.apply(input, self.weight, self.bias)
        return made


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight, ctx.kept = weight, x
        rounded = x.to(torch.float16).to(torch.int8)
        summed = torch.empty(*rounded.shape[:-1], weight.shape[0], dtype=torch.int32, device=x.device)
        made = summed.to(x.dtype)
        return made if bias is None else made + bias

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        grad = grads[0]
        back = torch.matmul(grad, ctx.weight.to(grad.dtype))
        return back, None, grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None


def _dense(data: torch.Tensor, state: State, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.empty(state.shape, dtype=dtype or state.dtype, device=data.device)


@contextmanager
def stood_in() -> Iterator[None]:
    """Let the import of bitsandbytes give these shapes while the block runs."""
    module: Any = types.ModuleType(LIBRARY)
    module.__spec__ = ModuleSpec(LIBRARY, None)
    module.nn = types.SimpleNamespace(
        Linear4bit=Linear4bit, Params4bit=Params4bit, Linear8bitLt=Linear8bitLt, Int8Params=Int8Params
    )
    module.functional = types.SimpleNamespace(dequantize_4bit=_dense)
    before = sys.modules.get(LIBRARY)
    sys.modules[LIBRARY] = module  # this one alone: what is imported meanwhile stays
    try:
        yield
    finally:
        del sys.modules[LIBRARY]
        if before is not None:
            sys.modules[LIBRARY] = before
