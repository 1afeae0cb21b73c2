"""AdaLoRA, HiRA, SHiRA and RandLoRA against PEFT and their formulas."""

from typing import Any

import pytest
import torch

from harness.errors import UsageError
from methods.adalora import AdaLoRA, Triplets
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import trainable
from methods.base import Training, dense, inserted
from tests.methods.conftest import TOYS, attach, backbone, batch, make
from tests.methods.test_peft import agree, attached, copy, matched, peft, reference, same_gradients

STEPS = 10
KEYS = ("t5", "roberta-masked", "llama-gqa")


@pytest.mark.parametrize("key", KEYS)
def test_hira_is_peft_s(key: str) -> None:
    toy = TOYS[key]
    ours, hosts = attached(toy, "hira", rank=3, targets=["q", "v", "ffn-out"])
    theirs = reference(toy, peft.HiraConfig(r=3, target_modules=hosts, hira_dropout=0.0))
    pairs = matched(ours, theirs, hosts, {"hira.A": "hira_A.default", "hira.B": "hira_B.default"})
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


def test_the_update_of_hira_has_a_higher_rank() -> None:
    ours, _ = attached(TOYS["llama-gqa"], "hira", rank=2, targets=["q"])
    _, host, update = inserted(ours, "hira", torch.nn.Module)[0]
    assert torch.linalg.matrix_rank(update.B @ update.A) == 2
    assert torch.linalg.matrix_rank(update.weight()) > 2
    torch.testing.assert_close(update.weight(), dense(host) * (update.B @ update.A))


@pytest.mark.parametrize("key", KEYS)
def test_shira_is_peft_s_at_the_same_places(key: str) -> None:
    toy = TOYS[key]
    ours, hosts = attached(toy, "shira", rank=3, targets=["q", "v", "ffn-out"])
    theirs = reference(toy, peft.ShiraConfig(r=3, target_modules=hosts))
    pairs = matched(ours, theirs, hosts, {"shira.values": "shira_weight.default"})
    for host in hosts:
        update, layer = ours.get_submodule(f"{host}.shira"), theirs.base_model.model.get_submodule(host)
        rows, columns = update.places // update.size[1], update.places % update.size[1]
        layer.shira_indices["default"] = torch.stack((rows, columns)).to(layer.shira_indices["default"].dtype)
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


def test_shira_s_places_differ_and_come_from_its_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        attach("shira", model := backbone(TOYS["llama-gqa"]), seed=seed + 7, mask_seed=seed)
        made.append([update.places for _, _, update in inserted(model, "shira", torch.nn.Module)])
    assert all(torch.equal(*pair) for pair in zip(made[0], made[1], strict=True))
    assert not torch.equal(made[0][0], made[2][0])
    assert all(len(places.unique()) == len(places) for places in made[0])


def trained(model: Any, method: Any, allocate: Any, steps: int = STEPS) -> None:
    """Train as the harness does: the gradients are freed before `allocate` is called."""
    optimizer = torch.optim.SGD([p for _, p in trainable(model)], lr=0.3)
    for step in range(1, steps + 1):
        loss = model(**batch(TOYS["llama-gqa"])).loss + (0 if method is None else method.penalty(model))
        loss.backward()
        optimizer.step()
        if method is None:
            allocate(step)
        optimizer.zero_grad(set_to_none=True)
        if method is not None:
            allocate(step)


def ranks(model: Any) -> list[int]:
    return [int((update.values != 0).sum()) for _, _, update in inserted(model, "adalora", Triplets)]


def test_adalora_trains_and_prunes_as_peft_s_does() -> None:
    toy = TOYS["llama-gqa"]
    fields = {"rank": 4, "target_rank": 2, "alpha": 8.0, "targets": ["q", "v"]}
    ours = backbone(toy)
    method = attach("adalora", ours, **fields)
    method.start(ours, Training(STEPS, iter(())))
    hosts = [path for path, module in ours.named_modules() if hasattr(module, "adalora")]
    config = peft.AdaLoraConfig(
        init_r=4, target_r=2, lora_alpha=8, target_modules=hosts, tinit=1, tfinal=3, total_step=STEPS,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    theirs = reference(toy, config)
    names = {"P": "lora_B.default", "Q": "lora_A.default"}
    pairs = matched(ours, theirs, hosts, {f"adalora.{mine}": other for mine, other in names.items()})
    copy(pairs)
    trained(ours, method, lambda step: method.after_step(ours, step))
    trained(theirs, None, theirs.base_model.update_and_allocate)
    assert sum(ranks(ours)) == 2 * len(hosts)
    assert method.notes(ours) == {"ranks_left": 2 * len(hosts)}
    assert len(set(ranks(ours))) > 1, "by importance, not the same everywhere"
    for host in hosts:
        theirs_e = theirs.base_model.model.get_submodule(host).get_parameter("lora_E.default")
        mine = ours.get_parameter(f"{host}.adalora.values")
        torch.testing.assert_close(mine, theirs_e.flatten(), rtol=1e-3, atol=1e-5)
    for mine, other in pairs.items():
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_the_ranks_of_adalora_fall_by_a_cubic() -> None:
    method = AdaLoRA(rank=12, target_rank=4)
    left = [method.left(step, 10, 50) for step in (10, 30, 50)]
    assert left == [12, 4 + 8 / 8, 4]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"target_rank": 7}, "method.target_rank=7: it is at most the rank of the start, 6"),
        ({"first_share": 0.8}, "first_share and final_share are at least 0 and together below 1"),
        ({"rank": 9, "target_rank": 2}, "method.rank=9: the rank must be at most 8"),
        ({"beta1": 1.0}, "method.beta1=1.0: a share of the earlier score"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("adalora", **fields).attach(backbone(TOYS["llama-gqa"]))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rank", [3, 8, 40])
def test_randlora_is_peft_s(key: str, rank: int) -> None:
    """Ranks: one that divides no side, one that divides some, and one that is larger. PEFT draws in half precision."""
    toy = TOYS[key]
    fields = {"basis_rank": rank, "projection_seed": 5, "targets": ["q", "v", "ffn-in", "ffn-out"]}
    ours, hosts = attached(toy, "randlora", alpha=2 * rank, **fields)
    config = peft.RandLoraConfig(r=rank, randlora_alpha=2 * rank, projection_prng_key=5, target_modules=hosts)
    theirs = reference(toy, config)
    names = {"randlora.l": "randlora_lambda.default", "randlora.g": "randlora_gamma.default"}
    pairs = matched(ours, theirs, hosts, names)
    copy(pairs)
    update, layer = ours.get_submodule(f"{hosts[0]}.randlora"), theirs.base_model.model.get_submodule(hosts[0])
    for mine, other in ((update.A, layer.randlora_A["default"]), (update.B, layer.randlora_B["default"])):
        torch.testing.assert_close(mine.std(), other.std(), rtol=0.01, atol=0)
        other.copy_(mine)
    agree(toy, ours, theirs)
    same_gradients(pairs)


def test_the_update_of_randlora_has_full_rank_and_the_count_of_its_page() -> None:
    model = backbone(TOYS["llama-gqa"])
    method = attach("randlora", model, basis_rank=3, targets=["ffn-out"])
    _, _, update = inserted(model, "randlora", torch.nn.Module)[0]
    assert float(update.g.detach()[0, 0]) == 1 / 16
    torch.nn.init.normal_(update.l)
    assert torch.linalg.matrix_rank(update.weight()) == 3, "g is one number, so A is the same in all bases"
    torch.nn.init.normal_(update.g)
    assert torch.linalg.matrix_rank(update.weight()) == 16
    assert method.closed_form(shape(model)) == 2 * 6 * (3 + 16), "two blocks, 6 bases of rank 3 for 16 outputs"


def test_shira_has_no_more_entries_than_a_weight() -> None:
    with pytest.raises(UsageError, match=r"method.rank=6: .* has entries for a rank of at most 5"):
        make("shira", rank=6).attach(backbone(TOYS["llama-gqa"]))
