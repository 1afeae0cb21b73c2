"""Several methods on one backbone, at once and one after the other."""

from typing import Any

import pytest
import torch

from harness.errors import NotApplicable, UsageError
from methods import registry as methods
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count

PAPER = ["adapter", "bitfit", "prompt length=10"]


@pytest.mark.parametrize("key", ["bert-head", "t5", "llama-gqa"])
def test_a_combination_is_the_sum_of_its_parts(key: str) -> None:
    toy, model = TOYS[key], backbone(TOYS[key])
    size = shape(model)
    method = attach("combine", model, parts=PAPER)
    alone = [make("adapter"), make("bitfit"), make("prompt", length=10)]
    assert count(model, toy.heads)["delta"] == sum(part.closed_form(size) for part in alone)
    assert method.tokens_added() == 10
    model(**batch(toy)).loss.backward()
    disturb(model)
    assert logits(model, toy).isfinite().all()


def test_the_order_of_compatible_parts_does_not_matter() -> None:
    outputs = []
    for parts in (["lora", "bitfit"], ["bitfit", "lora"]):
        model = backbone(TOYS["bert-head"])
        attach("combine", model, parts=parts)
        with torch.no_grad():
            for name, p in trainable(model):
                p.add_(0.1 if name.endswith("B") or "bias" in name else 0.0)
                if name.endswith(".A"):
                    p.fill_(0.1)
        outputs.append(logits(model, TOYS["bert-head"]))
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize(
    ("parts", "owned"),
    [
        (["bitfit", "layernorm"], "bitfit and layernorm both own .*LayerNorm.bias"),
        (["layernorm", "bitfit"], "layernorm and bitfit both own"),
        (["lora", "full"], "lora and full both own"),
        (["full", "lora"], "full and lora both own .*weight"),
        (["lora", "dora"], "lora and dora both own .*query.weight"),
        (["ia3", "lora targets=v"], "ia3 and lora both own .*value.weight"),
        (["mask", "lora"], "mask and lora both own .*query.weight"),
        (["intrinsic", "bitfit"], "intrinsic and bitfit both own"),
        (["bitfit", "intrinsic"], "bitfit and intrinsic both own"),
        (["mask", "intrinsic"], "mask and intrinsic both own"),
    ],
)
def test_two_methods_never_own_one_weight(parts: list[str], owned: str) -> None:
    with pytest.raises(UsageError, match=owned):
        make("combine", parts=parts).attach(backbone(TOYS["bert-head"]))


def test_rows_of_a_fused_linear_have_owners_of_their_own() -> None:
    if "gpt2" not in TOYS:
        pytest.skip("no toy with a fused linear")
    make("combine", parts=["lora targets=q", "dora targets=v"]).attach(backbone(TOYS["gpt2"]))
    with pytest.raises(UsageError, match="both own"):
        make("combine", parts=["lora targets=q", "dora targets=q"]).attach(backbone(TOYS["gpt2"]))


def test_different_weights_of_one_module_may_have_two_owners() -> None:
    model = backbone(TOYS["bert-head"])
    method = attach("combine", model, parts=["lora", "bitfit", "ia3 outputs=k"])
    disturb(model)
    before = logits(model, TOYS["bert-head"])
    assert method.mergeable
    method.merge(model)
    torch.testing.assert_close(logits(model, TOYS["bert-head"]), before, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_merged_is_left_alone() -> None:
    model = backbone(TOYS["bert-head"])
    method = attach("combine", model, parts=["lora", "adapter"])
    with pytest.raises(NotApplicable, match="adapter adds what no weight holds"):
        method.merge(model)
    assert any(name.endswith("lora.A") for name, _ in trainable(model))


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        (["lora", "lora"], "only once"),
        (["combine"], "combine has parts of its own"),
        (["lora rank"], "field=value words"),
        (["lora rnk=3"], "method lora has no field 'rnk'. Did you mean rank"),
        (["lroa"], "no method 'lroa'"),
        (["diff_pruning"], "diff_pruning has stages of its own"),
    ],
)
def test_parts_that_cannot_be(parts: list[str], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("combine", parts=parts).attach(backbone(TOYS["bert-head"]))


def test_one_meaning_one_value() -> None:
    same = [["lora"], ["lora rank=8"], "lora targets=v+q alpha=16", ["lora rank=8.0 targets=q+v"]]
    assert len({str(methods.resolve("combine", {"parts": parts})) for parts in same}) == 1
    once = methods.resolve("combine", {"parts": PAPER})
    assert methods.resolve("combine", once) == once


def _run(model: Any, stage: Any) -> None:
    stage.begin(model)
    moving = [p for name, p in trainable(model) if not stage.rests(name)]
    optimizer = torch.optim.Adam(moving, lr=0.01)
    for _ in range(3):
        model(**batch(TOYS["t5"])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_sequence_is_its_parts_one_after_the_other() -> None:
    """The first stage is the first method alone; the last has all, of which the earlier rest."""
    toy = TOYS["t5"]
    model, alone = backbone(toy), backbone(toy)
    method = attach("sequence", model, parts=["lora", "prefix length=3", "prompt length=4"])
    single = attach("lora", alone)
    stages = method.stages(model)
    _run(alone, single.stages(alone)[0])
    _run(model, stages[0])
    torch.testing.assert_close(logits(model, toy), logits(alone, toy))
    lora = {name: p.detach().clone() for name, p in trainable(model) if ".lora." in name}
    assert len(lora) == len(dict(trainable(model))), "later parts are not there yet"
    _run(model, stages[1])
    first_two = logits(model, toy)
    _run(model, stages[2])
    after = dict(trainable(model))
    assert all(torch.equal(after[name], tensor) for name, tensor in lora.items())
    assert {kind for name in after for kind in ("lora", "prefix", "prompt") if f"{kind}." in name} == {
        "lora",
        "prefix",
        "prompt",
    }
    assert not torch.allclose(logits(model, toy), first_two)
    assert sum(stage.share for stage in stages) == pytest.approx(1)
