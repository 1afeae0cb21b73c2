"""The ways of a CUDA device: the same numbers where they are numbers, and the storages of its kernels."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness.config.step_load import KERNELS, PLAIN
from harness.forecast.attention_kernels import Call, attend, choose, dropout, inside
from harness.forecast.cuda_rules import LOWER, Ways
from harness.measurement.allocations import END, START, Live, Log

B, H, T, S, K = 2, 4, 6, 8, 16


def _qkv(heads: int = H, **options: Any) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(B, n, rows, K, **options) for n, rows in ((H, T), (heads, S), (heads, S)))


MASKS = {"none": None, "bool": torch.rand(B, 1, T, S) > 0.3, "float": torch.randn(B, H, T, S)}


@pytest.mark.parametrize(("mask", "heads"), list(itertools.product(MASKS, (H, 2))))
def test_math_computes_what_torch_computes(mask: str, heads: int) -> None:
    query, key, value = _qkv(heads)
    options: dict[str, Any] = {"attn_mask": MASKS[mask], "scale": 0.3, "enable_gqa": heads != H}
    wanted = F.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(
        attend("math", Call(query, key, value, MASKS[mask], 0.0, False, 0.3, heads != H)), wanted
    )
    with Ways("math"):
        torch.testing.assert_close(F.scaled_dot_product_attention(query, key, value, **options), wanted)


def test_math_knows_causal() -> None:
    query, key, value = _qkv()
    wanted = F.scaled_dot_product_attention(query, key[:, :, :T], value[:, :, :T], is_causal=True)
    torch.testing.assert_close(attend("math", Call(query, key[:, :, :T], value[:, :, :T], causal=True)), wanted)


def _trace(work: Callable[[], torch.Tensor], low: bool = False, kernel: str = "auto") -> Log:
    live = Live(inside)
    live.mark(START)
    with live:
        live.mark("forward")
        with Ways(kernel, low):
            made = work()
        live.mark("backward")
        made.sum().backward()
        del made
        live.mark(END)
    return live.log()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_keep_what_they_keep(dtype: torch.dtype) -> None:
    """At 512 tokens scores and weights are far larger than anything else."""
    shape, held = (2, 8, 512, 64), {}
    for kernel in (name for name in KERNELS if name != PLAIN):
        tensors = [torch.empty(shape, device="meta", dtype=dtype, requires_grad=True) for _ in range(3)]
        log = _trace(lambda tensors=tensors: F.scaled_dot_product_attention(*tensors), kernel=kernel)  # type: ignore[misc]
        held[kernel] = log.most()
    assert held["math"] > 3 * held["memory_efficient"] > 0
    assert held["auto"] == held["flash"] == held["memory_efficient" if dtype == torch.float32 else "flash"]


@pytest.mark.parametrize(
    ("kernel", "dtype", "mask", "grouped", "wanted"),
    [
        ("auto", torch.bfloat16, None, False, "flash"),
        ("auto", torch.bfloat16, None, True, "flash"),
        ("auto", torch.bfloat16, "float", False, "memory_efficient"),
        ("auto", torch.float32, None, False, "memory_efficient"),
        ("auto", torch.float32, None, True, "math"),
        ("flash", torch.float32, None, False, "memory_efficient"),
        ("memory_efficient", torch.bfloat16, None, False, "memory_efficient"),
        ("math", torch.bfloat16, None, False, "math"),
    ],
)
def test_which_kernel(kernel: str, dtype: torch.dtype, mask: str | None, grouped: bool, wanted: str) -> None:
    query, key, value = (tensor.to(dtype) for tensor in _qkv())
    assert choose(kernel, Call(query, key, value, MASKS[mask or "none"], grouped=grouped)) == wanted


def test_dropout_keeps_a_byte_per_element() -> None:
    x = torch.empty(1024, 256, device="meta", requires_grad=True)
    log = _trace(lambda: dropout(x, 0.1))
    assert log.most("forward") == 1024 * 256 * (4 + 1)
    assert dropout(x, 0.0) is x


@pytest.mark.parametrize("func", [F.linear, torch.matmul, torch.bmm])
def test_autocast_lowers_what_torch_lowers(func: Any) -> None:
    assert func in LOWER
    x, w = torch.randn(2, 4, 4), torch.randn(4, 4) if func is F.linear else torch.randn(2, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = func(x, w)
    with Ways(low=True):
        made = func(x, w)
    assert made.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(made, wanted)


def test_autocast_keeps_a_cast_weight_that_trains_and_casts_a_frozen_one_anew() -> None:
    for trains, casts in ((True, 1), (False, 2)):
        weight = torch.empty(256, 256, device="meta", requires_grad=trains)
        x = torch.empty(1, 256, device="meta", requires_grad=True)
        log = _trace(lambda weight=weight, x=x: F.linear(F.linear(x, weight), weight), low=True)  # type: ignore[misc]
        born = log.events[: dict(log.marks)["backward"]]
        assert (log.sizes[born[born >= 0]] == 256 * 256 * 2).sum() == casts


def test_softmax_and_losses_stay_in_full_precision() -> None:
    x = torch.randn(3, 5, dtype=torch.bfloat16)
    with Ways(low=True):
        assert torch.softmax(x, -1).dtype == torch.float32
        assert F.cross_entropy(x, torch.zeros(3, dtype=torch.long)).dtype == torch.float32
