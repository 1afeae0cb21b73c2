"""What is merged into an output layer leaves the embedding alone, also in the checkpoint that transformers loads."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from harness.config.schema import MethodConfig
from harness.errors import NotApplicable
from methods.attachment.delta_state import delta_state
from methods.attachment.tied_weights import declare
from methods.base import Parent, freeze
from methods.registry import resolve
from tests.methods.conftest import TOYS, Toy, attach, backbone, disturb, logits, make
from tests.methods.independent_count import count

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
OUTPUTS = ("lm_head", "embed_out", "decoder", "vocab_projector")
WITH_OUTPUT = {key: toy for key, toy in TOYS.items() if toy.kind != "classifier"}
"""Toys whose model ends in the vocabulary, whether or not that layer is tied."""
STANDING = ("t5", "bart", "roberta-masked", "gpt2", "llama-gqa")
FIELDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {},
    "vera": {},
    "dvora": {},
    "adalora": {},
    "oft": {},
    "boft": {},
    "randlora": {},
    "hira": {},
    "shira": {},
    "ssf": {},
    "mask": {},
    "peft": {"peft_type": "LORA"},
    "ia3": {},
    "combine": {},
    "continual": {},
    "sequence": {},
}
"""Methods that can be told where to write and merge, found by hand; a test below says that none is missing."""


@pytest.fixture(params=[pytest.param(key, marks=() if key in STANDING else (pytest.mark.slow,)) for key in WITH_OUTPUT])
def ending(request: pytest.FixtureRequest) -> Toy:
    return WITH_OUTPUT[request.param]


def _output(model: Any) -> str:
    last = model.get_output_embeddings()
    return next(name for name, module in model.named_modules() if module is last)


def _is_tied(model: Any) -> bool:
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _fields(name: str, output: str) -> dict[str, Any]:
    """What makes the method write into the output layer, beside a place in the blocks."""
    if name in ("combine", "sequence", "continual"):
        return {"parts": [f"lora rank=2 targets={output}", "vera rank=4 targets=q"]}
    where = {"outputs": [output], "inputs": ["ffn-out"]} if name == "ia3" else {"targets": [output]}
    return where | FIELDS[name] | ({"rank": 4} if name in ("lora", "dora", "vera", "dvora") else {})


def _loaded(model: Any, folder: Path) -> Any:
    """By transformers alone, nothing of it missing."""
    declare(model)
    model.save_pretrained(folder)
    again, report = type(model).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return again.eval()


@pytest.mark.parametrize("writer", sorted(FIELDS))
def test_merged_into_the_output_layer_is_unmerged(writer: str, ending: Toy, tmp_path: Path) -> None:
    model = backbone(ending)
    tied, embedding = _is_tied(model), model.get_input_embeddings().weight.detach().clone()
    size = count(model)["backbone"]
    try:
        method = make(writer, **_fields(writer, _output(model)))
        torch.manual_seed(2)
        method.attach(model)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    disturb(model, sd=0.3)
    before = logits(model, ending)
    for _ in range(2):
        try:
            method.merge(model)
        except NotApplicable as reason:
            pytest.skip(str(reason))
        torch.testing.assert_close(logits(model, ending), before, **CLOSE)
    assert torch.equal(model.get_input_embeddings().weight, embedding), "the embedding has changed"
    assert not _is_tied(model)
    again = _loaded(model, tmp_path)
    torch.testing.assert_close(logits(again, ending), before, **CLOSE)
    if tied:
        assert not _written(tmp_path)["tie_word_embeddings"]
        assert count(model)["backbone"] >= size + embedding.numel()


def _written(folder: Path) -> dict[str, Any]:
    import json

    return dict(json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize("writer", ["full", "lora", "diff_pruning"])
def test_what_stays_tied_is_saved_tied(writer: str, ending: Toy, tmp_path: Path) -> None:
    model = backbone(ending)
    tied = _is_tied(model)
    try:
        method = attach(writer, model)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    disturb(model)
    before = logits(model, ending)
    method.merge(model)
    assert _is_tied(model) == tied
    torch.testing.assert_close(logits(_loaded(model, tmp_path), ending), before, **CLOSE)


def test_a_soup_of_an_untied_ingredient_is_the_mean(ending: Toy, tmp_path: Path) -> None:
    states, outputs = {}, []
    fields = {"lora": {"targets": [_output(backbone(ending))], "rank": 4}, "none": {}}
    for role, name in (("a", "lora"), ("b", "none")):
        other = backbone(ending)
        method = make(name, **fields[name])
        method.attach(other)
        disturb(other, sd=0.3)
        states[role] = Parent(MethodConfig(name, resolve(name, fields[name])), delta_state(other))
        method.merge(other)
        outputs.append(other.get_output_embeddings().weight.detach())
    model = backbone(ending)
    embedding = model.get_input_embeddings().weight.detach().clone()
    make("soup").inherit(model, states)
    torch.testing.assert_close(model.get_output_embeddings().weight, sum(outputs) / 2)
    torch.testing.assert_close(model.get_input_embeddings().weight, embedding)
    torch.testing.assert_close(logits(_loaded(model, tmp_path), ending), logits(model, ending), **CLOSE)


def test_every_method_that_can_write_there_is_tried() -> None:
    from methods import registry as methods

    told = {name for name, entry in methods.catalogue().items() if {"targets", "outputs", "parts"} & set(entry.fields)}
    merging = {name for name in told if make(name).mergeable}
    assert merging - set(FIELDS) <= set(), f"not tried: {merging - set(FIELDS)}"


def test_an_old_t5_with_an_output_layer_of_its_own_keeps_its_scale(tmp_path: Path) -> None:
    model = backbone(TOYS["t5"])
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    freeze(model)
    before = logits(model, TOYS["t5"])
    assert isinstance(model, hf.T5ForConditionalGeneration)
    assert model.config.scale_decoder_outputs
    torch.testing.assert_close(logits(_loaded(model, tmp_path), TOYS["t5"]), before, **CLOSE)
    assert not _written(tmp_path)["tie_word_embeddings"], "which another version of transformers takes for: not scaled"
