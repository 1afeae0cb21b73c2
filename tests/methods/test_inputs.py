"""Padding, caches and attention kernels make no difference, whatever method is attached."""

from typing import Any

import pytest
import torch

from harness.prompt_width import prompt_of
from methods.backbone.trainable_parameters import Delta
from tests.methods.conftest import PAD, attach, attached, backbone, batch, disturb, disturbed

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
USUAL = ("t5", "bert-head", "gpt2", "llama-gqa")
"""An encoder with another head reads its inputs the same."""
NEW = 3
"""Generated tokens: the first is of the pass over the prompt, and each later one of a pass with a longer cache."""


def _rows(toy: Any) -> list[torch.Tensor]:
    """The token ids of each row alone, [1, T]."""
    inputs = batch(toy)
    pairs = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    return [ids[mask.bool()][None] for ids, mask in pairs]


def _left(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows padded on the left: (ids, mask), [B, T]."""
    width = max(row.shape[1] for row in rows)
    pad = torch.nn.functional.pad
    ids = torch.cat([pad(row, (width - row.shape[1], 0), value=PAD) for row in rows])
    mask = torch.cat([pad(torch.ones_like(row), (width - row.shape[1], 0)) for row in rows])
    return ids, mask


@torch.no_grad()
def _call(model: Any, toy: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    extra: dict[str, Any] = {"decoder_input_ids": torch.full((len(ids), 3), 5)} if toy.kind == "seq2seq" else {}
    if toy.positions and mask is not None:  # with a table of positions it is the caller who numbers them
        extra["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    return model(input_ids=ids, attention_mask=mask, **extra).logits


def test_padding_on_the_right_changes_nothing(name: str, toy: Any) -> None:
    model = disturbed(name, toy)
    inputs = batch(toy)
    together = _call(model, toy, inputs["input_ids"], inputs["attention_mask"])
    for row, ids in enumerate(_rows(toy)):
        alone = _call(model, toy, ids, torch.ones_like(ids))[0]
        torch.testing.assert_close(together[row][: len(alone)], alone, **CLOSE)


def test_no_mask_is_a_mask_of_ones(name: str, toy: Any) -> None:
    model = disturbed(name, toy)
    ids = _rows(toy)[0]
    torch.testing.assert_close(_call(model, toy, ids, None), _call(model, toy, ids, torch.ones_like(ids)), **CLOSE)


def test_padding_on_the_left_changes_nothing(name: str, generator: Any) -> None:
    """Decoders only: an encoder's rows are padded on the right."""
    if generator.kind != "causal":
        return
    model = disturbed(name, generator)
    rows = _rows(generator)
    together = _call(model, generator, *_left(rows))
    for row, ids in enumerate(rows):
        alone = _call(model, generator, ids, torch.ones_like(ids))[0]
        torch.testing.assert_close(together[row][-len(alone) :], alone, **CLOSE)


def test_kernels_agree(name: str, toy: Any) -> None:
    outputs = []
    if len(toy.attention) == 1:
        pytest.skip(f"this backbone has {toy.attention[0]} only")
    for attention in toy.attention:
        model = disturbed(name, toy)  # with the first
        if attention != toy.attention[0]:
            model = backbone(toy, attention)
            attach(name, model)
            disturb(model)
        inputs = batch(toy)
        out = _call(model, toy, inputs["input_ids"], inputs["attention_mask"])
        outputs.append(out[inputs["attention_mask"].bool()] if toy.kind in ("masked", "causal") else out)
    torch.testing.assert_close(*outputs, **CLOSE)


def test_generation_is_the_forward_pass(name: str, generator: Any) -> None:
    """Greedy generation with a cache, in a padded batch, picks what full passes without a cache pick."""
    model = disturbed(name, generator)
    rows = _rows(generator)
    inputs = batch(generator)
    padded = inputs["input_ids"], inputs["attention_mask"]
    ids, mask = _left(rows) if generator.kind == "causal" else padded
    made = model.generate(
        ids, attention_mask=mask, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=PAD
    )[:, -NEW:]
    for row, given in enumerate(rows):
        assert made[row].tolist() == _greedy(model, generator, given, NEW)


@torch.no_grad()
def _greedy(model: Any, toy: Any, ids: torch.Tensor, steps: int) -> list[int]:
    text = torch.full((1, 1), PAD) if toy.kind == "seq2seq" else ids
    for _ in range(steps):
        if toy.kind == "seq2seq":
            scores = model(input_ids=ids, decoder_input_ids=text, use_cache=False).logits
        else:
            with prompt_of(ids.shape[1]):
                scores = model(input_ids=text, use_cache=False).logits
        scores[..., model.config.eos_token_id] = -torch.inf  # min_new_tokens bans the end
        text = torch.cat((text, scores[:, -1:].argmax(-1)), dim=1)
    return text[0, -steps:].tolist()


def test_prompts_say_how_many_positions_they_take(name: str, toy: Any) -> None:
    model, method = attached(name, toy)
    seen: list[int] = []
    stack = model.get_encoder() if toy.kind == "seq2seq" else model.base_model
    layer = next(module for key, module in stack.named_modules() if key.endswith((".0", "layers.0")))
    watch = layer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args or tuple(kwargs.values()))[0].shape[1]), with_kwargs=True
    )
    inputs = batch(toy)
    _call(model, toy, inputs["input_ids"], inputs["attention_mask"])
    watch.remove()
    assert seen == [inputs["input_ids"].shape[1] + method.tokens_added()]


def test_deltas_on_a_half_precision_backbone_stay_in_single(name: str, toy: Any) -> None:
    model = backbone(toy).to(torch.bfloat16)
    attach(name, model)
    added = [p for module in model.modules() if isinstance(module, Delta) for p in module.parameters()]
    assert all(p.dtype == torch.float32 for p in added)
    out = model(**batch(toy))
    assert out.logits.dtype == torch.bfloat16
    if added:
        out.loss.backward()
        assert all(p.grad is not None for p in added if p.requires_grad)
