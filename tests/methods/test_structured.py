"""S2FT: which columns change, and what they change."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from harness.errors import UsageError
from methods.backbone.sizes import shape
from methods.base import dense, find, inserted
from methods.s2ft import Columns
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make


def deltas(model: Any) -> list[tuple[str, Any, Columns]]:
    return inserted(model, "s2ft", Columns)


@pytest.mark.parametrize(("key", "width"), [("t5", 6), ("llama-gqa", 4), ("gpt2", 4), ("gpt-bigcode", 8)])
def test_whole_heads_change_in_attention_and_whole_channels_in_the_feed_forward(key: str, width: int) -> None:
    model = backbone(TOYS[key])
    attach("s2ft", model, heads=2, channels=5)
    outputs = {id(module) for module in find(model, "o").values()}
    seen = set()
    for _, host, delta in deltas(model):
        places = delta.places.tolist()
        if id(getattr(host, "module", host)) in outputs:
            assert [place // width for place in places[::width]] == [
                place // width for place in places[width - 1 :: width]
            ]
            assert len(set(places)) == 2 * width
            seen.add("o")
        else:
            assert len(set(places)) == 5
            seen.add("ffn-out")
        disturb(delta)
        moved = (delta.folded(dense(host).detach()) != dense(host)).any(dim=0).nonzero().squeeze(1)
        assert moved.tolist() == sorted(places)
    assert seen == {"o", "ffn-out"}
    assert len({tuple(delta.places.tolist()) for _, _, delta in deltas(model)}) > 2, "each module has a draw of its own"


def test_training_the_columns_in_place_gives_the_same_gradients() -> None:
    """As the paper trains them: the gradient of a column of W is that of our column of S."""
    toy = TOYS["llama-gqa"]
    ours, plain = backbone(toy), backbone(toy)
    attach("s2ft", ours, heads=1, channels=3)
    layer: Any = ours.model.layers[0].mlp.down_proj
    other: Any = plain.model.layers[0].mlp.down_proj
    other.weight.requires_grad_(True)
    x = torch.randn(2, 7, 24)
    for made in (layer(x), F.linear(x, other.weight)):
        made.square().sum().backward()
    update = layer.s2ft
    torch.testing.assert_close(update.columns.grad, other.weight.grad[:, update.places], rtol=1e-5, atol=1e-5)


def test_the_draw_is_that_of_its_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        attach("s2ft", model := backbone(TOYS["t5"]), seed=seed + 7, selection_seed=seed)
        made.append([delta.places.tolist() for _, _, delta in deltas(model)])
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(("fields", "role"), [({"heads": 0}, "ffn-out"), ({"channels": 0}, "o")])
def test_one_of_the_two_may_be_left_out(fields: dict[str, int], role: str) -> None:
    model = backbone(TOYS["llama-gqa"])
    before = logits(model, TOYS["llama-gqa"])
    method = attach("s2ft", model, **fields)
    assert torch.equal(logits(model, TOYS["llama-gqa"]), before)
    assert {id(host) for _, host, _ in deltas(model)} == {id(module) for module in find(model, role).values()}
    counted = {"ffn-out": 2 * 16 * 16, "o": 2 * 1 * 4 * 16}[role]
    assert method.closed_form(shape(backbone(TOYS["llama-gqa"]))) == counted


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"heads": 5}, r"method.heads=5: model.layers.0.self_attn.o_proj reads 4 heads"),
        ({"channels": 25}, r"method.channels=25: model.layers.0.mlp.down_proj reads 24 channels"),
        ({"heads": 0, "channels": 0}, "method.heads=0: method.heads and method.channels are not both 0"),
        ({"channels": -1}, "method.channels=-1: the number of channels must be at least 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("s2ft", **fields).attach(backbone(TOYS["llama-gqa"]))
