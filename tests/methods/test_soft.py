"""Soft prompts and prefixes: reparametrisations, what a file keeps of them, starts, subsets of modules."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from harness.errors import NotApplicable, UsageError
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.sizes import shape
from tests.methods.conftest import TOYS, attach, backbone, disturb, logits, make
from tests.methods.independent_count import count
from tests.methods.test_peft import TASK, P, agree, copy, peft, reference, same_gradients

FOLDED: Mapping[str, Mapping[str, Any]] = {
    "prefix": {"reparametrize": True, "hidden": 5, "length": 3},
    "ptuning": {"hidden": 5, "length": 3},
    "mam": {"reparametrize": True, "hidden": 5, "length": 3},
}


@pytest.mark.parametrize("made", FOLDED)
@pytest.mark.parametrize("key", ["t5", "bert-head", "gpt2"])
def test_a_file_keeps_what_the_reparametrisation_makes(made: str, key: str) -> None:
    """Without the network that made it; loaded, it says the same and holds no more than the file."""
    model = backbone(TOYS[key])
    attach(made, model, **FOLDED[made])
    disturb(model, sd=0.5)
    state = delta_state(model)
    assert not any(word in path for path in state for word in ("trunk", "prompt.mlp", "prompt.lstm"))
    other = backbone(TOYS[key])
    attach(made, other, seed=9, **FOLDED[made])
    load_delta_state(other, state)
    torch.testing.assert_close(logits(other, TOYS[key]), logits(model, TOYS[key]), rtol=1e-5, atol=1e-5)
    heads = TOYS[key].heads
    assert count(other, heads)["delta"] + count(other, heads)["head"] == sum(t.numel() for t in state.values())
    assert count(other, heads)["delta"] < count(model, heads)["delta"]


def test_a_stored_prefix_is_two_vectors_per_position_and_module() -> None:
    model = backbone(TOYS["t5"])
    attach("prefix", model, **FOLDED["prefix"])
    assert sum(t.numel() for t in delta_state(model).values()) == 2 * 3 * 24 * 6


@pytest.mark.parametrize(
    ("attend", "modules"), [(["encoder"], 2), (["decoder"], 2), (["cross"], 2), (["encoder", "decoder"], 4)]
)
def test_a_prefix_in_some_attention_modules(attend: list[str], modules: int) -> None:
    model = backbone(TOYS["t5"])
    size = shape(model)
    method = attach("prefix", model, attend=attend)
    assert method.notes(model) == {"prefixed_attention_modules": modules}
    assert count(model)["delta"] == method.closed_form(size) == 2 * 16 * 24 * modules
    paths = list(delta_state(model))
    assert all(("EncDecAttention" in path) == (attend == ["cross"]) for path in paths)
    assert all(path.startswith("encoder") for path in paths) == (attend == ["encoder"])


def test_a_decoder_alone_has_no_cross_attention() -> None:
    with pytest.raises(NotApplicable, match=r"method\.attend=cross: this backbone has no such attention module"):
        make("prefix", attend=["cross"]).attach(backbone(TOYS["llama-gqa"]))


@pytest.mark.parametrize("key", ["t5", "bart"])
def test_a_prompt_from_text_is_its_embeddings_over_and_over(key: str) -> None:
    model: Any = backbone(TOYS[key])
    method = attach("prompt", model, init="text", text="a good film", length=5)
    method.read(model, lambda text: [10 + len(word) for word in text.split()])
    expected = model.get_input_embeddings()(torch.tensor([11, 14, 14, 11, 14]))
    made = next(tensor for path, tensor in delta_state(model).items() if path.endswith("prompt.embeddings"))
    assert torch.equal(made, expected)
    with pytest.raises(UsageError, match=r"method\.text=a good film: .* makes no token of it"):
        method.read(model, lambda text: [])


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
@pytest.mark.parametrize("key", ["t5", "bart", "gpt2", "llama-gqa"])
def test_ptuning_is_pefts(key: str, encoder: str) -> None:
    toy = TOYS[key]
    ours = backbone(toy)
    attach("ptuning", ours, length=P, encoder=encoder, hidden=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.PromptEncoderConfig(
            task_type=TASK[toy.kind], num_virtual_tokens=P, num_transformer_submodules=1,
            encoder_hidden_size=7, encoder_reparameterization_type=encoder.upper(), encoder_num_layers=2,
        )  # fmt: skip
    theirs = reference(toy, config)
    mine = next(module for module in ours.modules() if hasattr(module, "mlp") and hasattr(module, "embeddings"))
    other = theirs.prompt_encoder["default"]
    network = [p for name, p in mine.named_parameters() if name != "embeddings"]
    rest = [p for name, p in other.named_parameters() if not name.startswith("embedding")]
    pairs = {mine.embeddings: other.embedding.weight} | dict(zip(network, rest, strict=True))
    copy(pairs)
    agree(toy, ours, theirs)
    same_gradients(pairs)


@pytest.mark.parametrize("made", ["prompt", "ptuning"])
@pytest.mark.parametrize("key", ["mistral-window", "gemma3-window", "llama-gqa", "gpt2"])
def test_padding_on_the_left_moves_no_prompt_out_of_a_window(made: str, key: str) -> None:
    """A row reads the same alone and beside a longer one, in one pass and with its last tokens after a cache."""
    model = backbone(TOYS[key])
    attach(made, model, length=4)
    disturb(model, sd=0.5)
    model.eval()
    rows = [torch.randint(3, 60, (size,)) for size in (11, 6, 3)]
    ids, mask = torch.ones(3, 11, dtype=torch.long), torch.zeros(3, 11, dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, 11 - len(row) :], mask[place, 11 - len(row) :] = row, 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        begun = model(input_ids=ids[:, :9], attention_mask=mask[:, :9], position_ids=positions[:, :9], use_cache=True)
        cache = begun.past_key_values
        more = model(
            input_ids=ids[:, 9:], attention_mask=mask, position_ids=positions[:, 9:], past_key_values=cache
        ).logits
        for place, row in enumerate(rows):
            alone = model(input_ids=row[None], attention_mask=torch.ones_like(row)[None]).logits[0]
            torch.testing.assert_close(whole[place, 11 - len(row) :], alone, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(more[place], alone[-2:], rtol=1e-4, atol=1e-4)
