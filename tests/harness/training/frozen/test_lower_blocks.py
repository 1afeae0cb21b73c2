"""Blocks below the lowest trained one compute each row once, in all families, and nothing else changes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers as hf

from harness.config.schema import ModelConfig
from harness.training.frozen.lower_blocks import LowerBlocks
from harness.training.frozen.remembering import remembering
from methods.backbone import roles
from tests.harness import tiny_models
from tests.harness.training.frozen.conftest import Train
from tests.methods.toys import parameters

ROWS = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 1, 1], [13, 14, 15, 16, 1]])


def half_frozen(toy: Any) -> Any:
    """A backbone of which the upper half of the encoder or of the decoder alone trains, besides a head."""
    torch.manual_seed(0)
    model = toy.build().eval()
    part = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    inside = {id(module) for module in part.modules()}
    blocks = [block for block in roles.find(model, "blocks").values() if id(block) in inside]
    for parameter in part.parameters():
        parameter.requires_grad_(False)
    blocks[-1].requires_grad_(True)
    return model


def inputs(model: Any, rows: list[int]) -> dict[str, torch.Tensor]:
    ids = ROWS[rows]
    mask = (ids != 1).long()
    width = int(mask.sum(dim=1).max())
    given = {"input_ids": ids[:, :width], "attention_mask": mask[:, :width]}
    if model.config.is_encoder_decoder:
        return {**given, "decoder_input_ids": torch.tensor([[1, 20, 21]] * len(rows)), "use_cache": False}
    return {**given, "use_cache": False} if hasattr(model, "lm_head") and _is_decoder(model) else given


def _is_decoder(model: Any) -> bool:
    return "CausalLM" in type(model).__name__ or "LMHead" in type(model).__name__


def asked(model: Any) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Yield the logits of real tokens, and the gradients, of some batches."""
    for rows in ([0, 1], [2], [1, 0], [2, 1, 0], [1]):
        given = inputs(model, rows)
        logits = model(**given).logits
        if logits.shape[:2] == given["input_ids"].shape:
            logits = logits[given["attention_mask"].bool()]
        logits.square().sum().backward()
        yield logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()


@pytest.mark.parametrize("toy", parameters())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_and_gradients_are_the_same(toy: Any, dtype: torch.dtype) -> None:
    model = half_frozen(toy).to(dtype)
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.1, "atol": 0.1}
    plain = list(asked(model))
    with remembering(model) as memory:
        assert isinstance(memory, LowerBlocks)
        reused = list(asked(model))
        if memory.off:  # of two blocks, the lowest makes the bias of positions for the other
            assert memory.off == "each of them makes something that others read"
            assert any("relative_attention_bias" in name for name, _ in model.named_parameters())
        else:
            assert (memory.computed, memory.given) == (2, 3)
    for (logits, gradients), (same_logits, same_gradients) in zip(plain, reused, strict=True):
        torch.testing.assert_close(same_logits, logits, **close)
        assert gradients
        assert gradients.keys() == same_gradients.keys()
        for name, gradient in gradients.items():
            limit = close["rtol"] * max(1e-2, float(gradient.norm()))  # that of a key's bias is rounding alone
            assert float((same_gradients[name] - gradient).norm()) <= limit, name
    assert not any("forward" in vars(module) for module in model.modules())


SIZES = {"vocab_size": 60, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 3, "num_heads": 4, "dropout_rate": 0.0}


def deep() -> Any:
    """An encoder-decoder with three blocks each, of which the first makes the bias of positions."""
    torch.manual_seed(0)
    model = hf.T5ForConditionalGeneration(hf.T5Config(**SIZES, decoder_start_token_id=1, pad_token_id=1)).eval()
    model.requires_grad_(False)
    model.encoder.block[2].requires_grad_(True)
    return model


def test_a_block_that_makes_something_for_others_is_computed_and_those_above_it_are_not() -> None:
    model = deep()
    plain, calls = list(asked(model)), [0, 0, 0]
    for place, block in enumerate(model.encoder.block):
        block.layer[1].register_forward_pre_hook(lambda *_, place=place: calls.__setitem__(place, calls[place] + 1))
    with remembering(model) as memory:
        reused = list(asked(model))
        assert isinstance(memory, LowerBlocks)
        assert "the 2 lowest blocks" in memory.note()
    for (logits, _), (same, _) in zip(plain, reused, strict=True):
        torch.testing.assert_close(same, logits, rtol=1e-3, atol=1e-4)
    first_look, batches, computed = 1, 5, 2
    assert calls == [first_look + batches, first_look + computed, first_look + batches]


def test_what_a_prompt_changes_below_is_not_remembered() -> None:
    model, prompt = deep(), torch.nn.Parameter(torch.ones(1))
    model.encoder.block[0].register_forward_hook(lambda block, inputs, output: (output[0] * prompt, *output[1:]))
    plain = [logits for logits, _ in asked(model)]
    with remembering(model) as memory:
        for logits, (same, _) in zip(plain, asked(model), strict=True):
            assert torch.equal(same, logits)
        assert memory is not None
        assert (memory.off, memory.rows) == ("they depend on what trains", {})


def test_a_cache_is_filled_as_without_memory() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, intermediate_size=24)).eval().requires_grad_(False)
    model.model.layers[2].requires_grad_(True)
    ids, mask = ROWS[:1], torch.ones_like(ROWS[:1])
    plain = model(input_ids=ids, attention_mask=mask, use_cache=True)
    with remembering(model) as memory:
        for use_cache in (True, False, False, True, None):
            output = model(input_ids=ids, attention_mask=mask, use_cache=use_cache)
            torch.testing.assert_close(output.logits, plain.logits)
            if use_cache:
                for layer, other in zip(output.past_key_values.layers, plain.past_key_values.layers, strict=True):
                    torch.testing.assert_close(layer.keys, other.keys)
        assert memory is not None
        assert (memory.computed, memory.given) == (1, 2)


def _check(train: Train, model: ModelConfig, objective: str, **recipe: Any) -> LowerBlocks:
    (plain, _), (work, _) = (train(model, objective, "last_layer", reuse, **recipe) for reuse in (False, True))
    assert plain.remembered is None
    assert isinstance(work.remembered, LowerBlocks)
    assert work.remembered.name == "the lowest block"
    for row, other in zip(plain.curve, work.curve, strict=True):
        assert other["validation_loss"] == pytest.approx(row["validation_loss"], rel=1e-3)
    assert [row["scores"] for row in plain.curve] == [row["scores"] for row in work.curve]
    return work.remembered


@pytest.fixture(scope="module")
def two_blocks(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """An encoder with saved weights and two blocks."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("two-blocks")
    config = hf.BertConfig(**tiny_models.SIZES, **tiny_models.IDS, vocab_size=len(tiny_models.WORDS))
    hf.BertForSequenceClassification(config).bert.save_pretrained(folder)
    tiny_models._save_tokenizer(folder)
    return ModelConfig(name="tiny-bert", family="bert", path=str(folder))


def test_an_encoder_learns_the_same(train: Train, two_blocks: ModelConfig) -> None:
    memory = _check(train, two_blocks, "classifier")
    assert memory.given > memory.computed


@pytest.mark.parametrize("objective", ["causal", "classifier"])
def test_a_decoder_learns_the_same(train: Train, decoder: ModelConfig, objective: str) -> None:
    memory = _check(train, decoder, objective)
    assert memory.given > memory.computed or objective == "causal"
    assert memory.given > 0


def test_with_dropout_only_evaluation_is_remembered(train: Train, two_blocks: ModelConfig) -> None:
    memory = _check(train, two_blocks, "classifier", dropout=0.1)
    assert memory.given + memory.computed == 4 * memory.computed, "four evaluations, of which the first computes"
