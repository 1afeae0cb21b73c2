"""What holds for every method on every kind of backbone; both are found, not listed."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from harness.errors import NotApplicable, UsageError
from methods import registry as methods
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.sizes import Shape, shape
from methods.backbone.trainable_parameters import Delta, trainable
from methods.base import Method
from tests.methods.conftest import NAMES, TOYS, attach, attached, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count
from tests.methods.toys import OPT, SMALL

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def test_there_is_something_to_test() -> None:
    assert len(NAMES) >= 7
    assert {toy.kind for toy in TOYS.values() if toy.usual} == {"seq2seq", "classifier", "masked", "causal"}


def test_start_is_the_backbone_where_the_paper_says_so(name: str, toy: Any) -> None:
    model, method = attached(name, toy)
    same = torch.allclose(logits(model, toy), _plain(toy)[0], **CLOSE)
    assert same == method.unchanged_at_start


@cache
def _plain(toy: Any) -> tuple[torch.Tensor, Shape, dict[str, int]]:
    """The outputs of the backbone alone, its sizes, and its parameters as counted."""
    model = backbone(toy)
    return logits(model, toy), shape(model), count(model, toy.heads)


def test_what_trains_moves_and_nothing_else(name: str, toy: Any) -> None:
    model = backbone(toy)
    method = attach(name, model)
    before = {key: tensor.clone() for key, tensor in model.state_dict(keep_vars=False).items()}
    moving, dead = dict(trainable(model)), method.dead(model)
    assert set(dead) <= set(moving)
    largest = dict.fromkeys(moving, 0.0)
    model.train()  # some methods draw while they train; the toys have no dropout
    optimizer = torch.optim.Adam(list(moving.values()), lr=0.01) if moving else None
    data = batch(toy)  # once: it seeds, and a gate that draws must not draw the same in every step
    for _ in range(3 if optimizer else 0):
        model(**data).loss.backward()
        for key, p in moving.items():
            largest[key] = max(largest[key], 0.0 if p.grad is None else float(p.grad.abs().max()))
        optimizer.step()
        optimizer.zero_grad()
    still = {key for key, size in largest.items() if size < 1e-7}
    without = sorted(still - set(dead))
    assert not without, f"{without} never have a gradient: leave them out of `attach`, or return them from `dead()`"
    assert all(largest[key] < 1e-5 for key in dead), "called dead but has a gradient"
    tied = {id(p) for p in moving.values()}
    for key, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in tied:
            assert torch.equal(tensor, before[key]), f"{key} changed undeclared"


def test_merged_is_unmerged_three_times(name: str, toy: Any) -> None:
    model = backbone(toy)
    plain = set(model.state_dict())
    method = attach(name, model)
    disturb(model)
    before = logits(model, toy)
    try:
        method.merge(model)
    except NotApplicable:
        return
    assert method.mergeable
    for _ in range(2):
        method.merge(model)
    largest = max(1.0, float(before.abs().max()))  # the sums that are rounded are of its size
    torch.testing.assert_close(logits(model, toy), before, rtol=1e-5, atol=1e-5 * largest)
    assert set(model.state_dict()) == plain, "a merged backbone is a plain checkpoint"
    assert not any(isinstance(module, Delta) for module in model.modules())


def test_saved_and_loaded_is_the_same(name: str, toy: Any, tmp_path: Path) -> None:
    model = backbone(toy)
    attach(name, model)
    disturb(model)
    save_file(delta_state(model), tmp_path / "delta.safetensors")
    other = backbone(toy)
    attach(name, other, seed=99)
    load_delta_state(other, load_file(tmp_path / "delta.safetensors"))
    assert torch.equal(logits(other, toy), logits(model, toy))


def test_a_delta_that_does_not_fit_is_refused(name: str, toy: Any) -> None:
    model = backbone(toy)
    attach(name, model)
    state = delta_state(model)
    if not state:
        return
    first = next(iter(state))
    bad = [
        {key: tensor for key, tensor in state.items() if key != first},
        state | {"elsewhere": torch.zeros(1)},
        state | {first: torch.zeros(3, 3, 3, 3, 3)},
        {key: tensor + 1 for key, tensor in state.items()} | {first: state[first] * float("nan")},
    ]
    for other in bad:
        with pytest.raises(UsageError, match="delta"):
            load_delta_state(model, other)
    assert all(torch.equal(tensor, state[key]) for key, tensor in delta_state(model).items())


def test_count_is_the_closed_form(name: str, toy: Any) -> None:
    model, method = attached(name, toy)
    _, size, before = _plain(toy)
    after = count(model, toy.heads)
    assert after["delta"] == _closed_form(method, size, after["delta"])
    assert (after["head"], after["backbone"]) == (before["head"], before["backbone"])
    assert before["backbone"] == size.parameters


def test_a_narrow_embedding_has_its_own_width_in_the_closed_form(name: str) -> None:
    """OPT-350m projects tokens of 512 to states of 1024: parameters that stand beside tokens are as narrow as they."""
    narrow = hf.OPTConfig(**SMALL, **OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 8})
    model = hf.OPTForCausalLM(narrow).requires_grad_(False)
    size, method = shape(model), make(name)
    try:
        method.attach(model)
    except NotApplicable:
        return
    counted = count(model)["delta"]
    assert counted == _closed_form(method, size, counted)


def _closed_form(method: Method, size: Shape, counted: int) -> int:
    """Where another library decides what is added there is none, only something to count."""
    try:
        return method.closed_form(size)
    except NotApplicable:
        assert counted > 0
        return counted


def test_attaches_without_memory(name: str, toy: Any) -> None:
    with torch.device("meta"):
        model = backbone(toy)
    method = attach(name, model)
    counted = count(model, toy.heads)["delta"]
    assert counted == _closed_form(method, _plain(toy)[1], counted)
    assert all(p.is_meta for p in model.parameters())
    four_bits = any(hasattr(p, "quant_state") for p in model.parameters())  # those layers ask for values
    if four_bits or not _runs_without_memory(toy):
        return
    assert model(**_weightless(toy)).logits.is_meta


def _weightless(toy: Any) -> dict[str, torch.Tensor]:
    """Without a mask: with one, transformers itself asks whether anything is padded."""
    return {key: value.to("meta") for key, value in batch(toy).items() if key != "attention_mask"}


@cache
def _runs_without_memory(toy: Any) -> bool:
    """Whether the plain backbone does (some look at values; experts want bfloat16 there)."""
    with torch.device("meta"):
        model = backbone(toy)
    try:
        return bool(model(**_weightless(toy)).logits.is_meta)
    except RuntimeError:
        return False


def test_the_seed_decides_the_start(name: str, toy: Any) -> None:
    again = backbone(toy)
    attach(name, again)
    states = delta_state(attached(name, toy)[0]), delta_state(again)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


def test_the_record_can_hold_the_notes(name: str, toy: Any) -> None:
    model, method = attached(name, toy)
    notes = method.notes(model)
    assert all(isinstance(value, str | int | float) for value in notes.values())


def test_a_method_is_attached_once(name: str, toy: Any) -> None:
    model = backbone(toy)
    attach(name, model)
    added = [module for module in model.modules() if isinstance(module, Delta)]
    if added:
        with pytest.raises(UsageError):
            make(name).attach(model)


def test_a_target_that_matches_nothing_names_near_misses(name: str, toy: Any) -> None:
    if "targets" not in methods.find(name).fields:
        return
    with pytest.raises(UsageError, match=r"'qq' matches no linear layer.*Did you mean q"):
        attach(name, backbone(toy), targets=["qq"])
