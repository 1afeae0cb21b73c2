"""OFT and BOFT against PEFT and against what a rotation leaves as it is."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.errors import UsageError
from methods.backbone.sizes import shape
from methods.base import dense, inserted
from methods.boft import Butterfly, butterfly
from methods.oft import Rotation
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make
from tests.methods.test_peft import agree, attached, copy, matched, peft, reference, same_gradients

KEYS = ("t5", "roberta-masked", "llama-gqa")
TARGETS = ["q", "v", "ffn-out"]


@pytest.mark.parametrize("key", KEYS)
def test_oft_is_peft_s(key: str) -> None:
    toy = TOYS[key]
    ours, hosts = attached(toy, "oft", block_size=8, targets=TARGETS)
    config = peft.OFTConfig(oft_block_size=8, target_modules=hosts, use_cayley_neumann=False)
    theirs = reference(toy, config)
    pairs = matched(ours, theirs, hosts, {"oft.angles": "oft_R.default.weight"})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


def _diagonal(blocks: torch.Tensor) -> list[torch.Tensor]:
    return [torch.stack([torch.block_diag(*row) for row in blocks])]


def _undone(gradient: torch.Tensor, blocks: torch.Tensor) -> list[torch.Tensor]:
    size = blocks.shape[-1]
    cut = [gradient[:, i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(blocks.shape[1])]
    return [torch.stack(cut, dim=1)]


@pytest.fixture
def several_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT's CUDA extension, which puts blocks on a diagonal, in torch: without it PEFT has one factor only."""
    layer = importlib.import_module("peft.tuners.boft.layer")
    monkeypatch.setattr(layer, "get_fbd_cuda", lambda: SimpleNamespace(forward=_diagonal, backward=_undone))


@pytest.mark.usefixtures("several_factors")
@pytest.mark.parametrize("factors", [1, 2, 3])
@pytest.mark.parametrize("key", KEYS)
def test_boft_is_peft_s(key: str, factors: int) -> None:
    """PEFT trains whole blocks, of which only the skew-symmetric part acts, so each half has half of our gradient."""
    toy = TOYS[key]
    ours, hosts = attached(toy, "boft", block_size=2, factors=factors, targets=TARGETS)
    config = peft.BOFTConfig(boft_block_size=2, boft_n_butterfly_factor=factors, target_modules=hosts)
    theirs = reference(toy, config)
    layers = {host: theirs.base_model.model.get_submodule(host) for host in hosts}
    scales = matched(ours, theirs, hosts, {"boft.scale": "boft_s.default"})
    for mine, other in scales.items():
        other.data.copy_(mine.data[:, None])
    for host, layer in layers.items():
        angles = ours.get_parameter(f"{host}.boft.angles").data[..., 0]
        layer.boft_R["default"].data[..., 0, 1], layer.boft_R["default"].data[..., 1, 0] = angles, -angles
    agree(toy, ours, theirs)
    for mine, other in scales.items():
        torch.testing.assert_close(mine.grad[:, None], other.grad, rtol=1e-5, atol=1e-5)
    for host, layer in layers.items():
        mine, other = ours.get_parameter(f"{host}.boft.angles").grad[..., 0], layer.boft_R["default"].grad
        assert float(mine.abs().max()) > 0
        torch.testing.assert_close(mine, other[..., 0, 1] - other[..., 1, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fields", [{"block_size": 4}, {"block_size": 16}, {"block_size": 2, "factors": 4}])
def test_a_rotation_keeps_lengths_and_angles(fields: dict[str, int]) -> None:
    name = "boft" if "factors" in fields else "oft"
    ours, _ = attached(TOYS["llama-gqa"], name, **fields)
    for _, host, delta in inserted(ours, name, Rotation):
        weight = dense(host).detach()
        if isinstance(delta, Butterfly):
            torch.nn.init.ones_(delta.scale)
        moved = delta.folded(weight)
        torch.testing.assert_close(moved @ moved.T, weight @ weight.T, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(moved, weight, atol=1e-2)


def test_a_butterfly_reaches_more_inputs_than_a_block() -> None:
    for factors, reached in ((1, 2), (2, 4), (3, 8), (4, 16)):
        ours, _ = attached(TOYS["llama-gqa"], "boft", block_size=2, factors=factors, targets=["q"])
        delta = inserted(ours, "boft", Butterfly)[0][2]
        disturb(delta, sd=0.5)
        turned = delta.rotated(torch.eye(16))
        assert ((turned.abs() > 1e-7).sum(dim=1) == reached).all()
    assert butterfly(8, 2, 1).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("kind", ["oft", "boft"])
def test_rows_of_a_fused_linear_are_rotated_alone(kind: str) -> None:
    """The values see the same input, so a rotation of it before the linear would move them, too."""
    model: Any = backbone(TOYS["gpt2"])
    fused = model.transformer.h[0].attn.c_attn
    x = torch.randn(2, 5, 16)
    before = fused(x)
    attach(kind, model, targets=["q"])
    disturb(model, sd=0.5)
    after = fused(x)
    assert not torch.allclose(after[..., :16], before[..., :16], atol=1e-2)
    assert torch.equal(after[..., 16:], before[..., 16:])


def test_a_whole_linear_is_multiplied_once() -> None:
    model: Any = backbone(TOYS["llama-gqa"])
    layer = model.model.layers[0].self_attn.q_proj
    attach("oft", model, targets=["q"])
    disturb(model)
    x = torch.randn(2, 5, 16)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    products = counter.get_flop_counts()["Global"]
    assert products[torch.ops.aten.mm] == 2 * 10 * 16 * 16
    torch.testing.assert_close(layer(x), x @ layer.oft.folded(layer.weight).T, rtol=1e-5, atol=1e-5)


def test_the_hook_before_is_gone_after_a_merge() -> None:
    model: Any = backbone(TOYS["t5"])
    method = attach("oft", model)
    disturb(model)
    before = logits(model, TOYS["t5"])
    method.merge(model)
    assert not any(module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(logits(model, TOYS["t5"]), before, rtol=1e-5, atol=1e-5)


def test_the_counts_are_those_of_the_pages() -> None:
    size = shape(backbone(TOYS["llama-gqa"]))
    linears = size.linears(["q", "v"])
    assert make("oft", block_size=8).closed_form(size) == sum(n * d_in * 7 / 2 for n, d_in, _ in linears)
    counted = make("boft", block_size=4, factors=3).closed_form(size)
    assert counted == sum(n * (3 * d_in * 3 / 2 + d_out) for n, d_in, d_out in linears)


@pytest.mark.parametrize(
    ("kind", "fields", "rule"),
    [
        ("oft", {"block_size": 1}, "method.block_size=1: a block turns at least 2 inputs"),
        ("oft", {"block_size": 5}, r"method.block_size=5: it must divide 16, the inputs of model.*q_proj"),
        ("boft", {"factors": 0}, "method.factors=0: a rotation has at least 1 factor"),
        ("boft", {"block_size": 3}, "method.block_size=3: it must be even where"),
        ("boft", {"factors": 4}, r"method.factors=4: 4 factors mix 32 inputs, which must divide 16, the inputs of"),
    ],
)
def test_what_cannot_be_is_one_sentence(kind: str, fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make(kind, **fields).attach(backbone(TOYS["llama-gqa"]))
