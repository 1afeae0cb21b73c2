"""Untuned, every objective gives the loss and the accuracy of transformers' own model, whatever its head consists of.

The families are those of methods/backbone/families.py, and some encoders beyond them whose heads have other parts.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
)

from harness.config.schema import MethodConfig, ModelConfig
from harness.errors import UsageError
from harness.execution import preflight
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.models.text_tokens import IGNORED
from harness.training.batches import Batch
from harness.training.objectives import registry as objectives
from harness.training.score import prepare, score
from methods import registry as methods
from methods.backbone.families import FAMILIES
from tasks.base import Task
from tests.harness.tiny_models import WORDS, _save_tokenizer

FULL = MethodConfig("full", methods.resolve("full", {}))
SIZES = {"width": 16, "ffn": 24, "heads": 4, "kv_heads": 2, "head_width": 4, "encoder": 2, "decoder": 2}
USUAL = dict.fromkeys(("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), 16)
USUAL |= {"num_hidden_layers": 2, "num_attention_heads": 4}
BEYOND = {
    "electra": USUAL | {"embedding_size": 12},
    "modernbert": USUAL | {"cls_token_id": 3, "sep_token_id": 1},
    "albert": USUAL | {"embedding_size": 12},
    "deberta-v2": USUAL,
    "mpnet": USUAL,
}
OWN: dict[str, dict[str, Any]] = {
    "bart": {"decoder_attention_heads": 4, "decoder_ffn_dim": 24},
    "gptj": {"rotary_dim": 4},
    "mixtral": {"num_local_experts": 3},
    "opt": {"word_embed_proj_dim": 16},
    "gemma2": {"query_pre_attn_scalar": 4, "final_logit_softcapping": 2.0},
}
KINDS = {kind: {row.sizes[name]: n for name, n in SIZES.items() if name in row.sizes}
         for row in FAMILIES for kind in row.model_types} | BEYOND  # fmt: skip
VOCABULARY = [*WORDS, "<mask>"]
EAGER = ("gptj", "bloom", "deberta-v2", "mpnet", "gemma2")


def _settings(kind: str) -> PreTrainedConfig:
    """Sizes as small as they can be, weights wide enough that every part of a head matters."""
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
    if kind in ("t5", "mt5", "bart"):
        ids["decoder_start_token_id"] = 0
    wide = {"initializer_range": 0.3, "init_std": 0.3, "max_position_embeddings": 90, "n_positions": 90}
    return AutoConfig.for_model(kind, vocab_size=len(VOCABULARY), **ids, **wide, **KINDS[kind], **OWN.get(kind, {}))


def _objectives(settings: PreTrainedConfig) -> Iterator[tuple[str, str]]:
    """(objective, kind of head) of everything that such a model can serve as."""
    masked = type(settings) in MODEL_FOR_MASKED_LM_MAPPING and not settings.is_encoder_decoder
    if settings.is_encoder_decoder:
        yield "seq2seq", "seq2seq_lm"
    if masked:
        yield "masked", "masked_lm"
    elif type(settings) in MODEL_FOR_CAUSAL_LM_MAPPING and not settings.is_encoder_decoder:
        yield "causal", "causal_lm"
    if type(settings) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        yield "classifier", "sequence_classification"


STANDING = ("t5", "bart", "roberta", "distilbert", "electra", "modernbert", "gpt2", "gemma2", "llama")
"""Each for others with a head like theirs; those are marked slow."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in STANDING else (pytest.mark.slow,)) for kind in sorted(KINDS)]
)
def test_untuned_it_is_transformers_own_model(kind: str, label_task: Task, tmp_path: Path) -> None:
    task = replace(label_task, cloze_words=("bad", "good"))
    tried = 0
    for objective, head in _objectives(_settings(kind)):
        folder = tmp_path / objective
        settings = _settings(kind)
        settings.num_labels = 3  # a head of another task, in whose place one is drawn
        torch.manual_seed(0)
        made = backbone.CLASSES[head].from_config(settings)
        _disturb(made)
        made.save_pretrained(folder)
        _save_tokenizer(folder, VOCABULARY, "<s> $A </s>" if objective in ("masked", "classifier") else "$A </s>")
        _agrees(_config(kind, folder), objective, task)
        tried += 1
        if made.all_tied_weights_keys and objective != "classifier":
            _separate_output(made, folder)
            _agrees(_config(kind, folder), objective, task)
    assert tried, f"nothing is known that {kind} could serve as"


def _config(kind: str, folder: Path) -> ModelConfig:
    return ModelConfig(kind, kind, path=str(folder), attention="eager" if kind in EAGER else "sdpa")


@torch.no_grad()
def _disturb(model: torch.nn.Module) -> None:
    """Biases at 0 and norms at 1 would hide that one is left out."""
    for p in model.parameters():
        if p.ndim == 1:
            p.add_(torch.randn_like(p), alpha=0.3)


def _separate_output(model: Any, folder: Path) -> None:
    """A file that holds an output layer of its own, though the configuration ties it to the embedding."""
    file = folder / "model.safetensors"
    weight = model.get_output_embeddings().weight
    [name] = [name for name, p in model.named_parameters(remove_duplicate=False) if p is weight and "embed" not in name
              and "shared" not in name and "wte" not in name]  # fmt: skip
    tensors = load_file(file)
    assert name not in tensors
    save_file(tensors | {name: torch.randn_like(weight) * 0.3}, file, metadata={"format": "pt"})


def _agrees(config: ModelConfig, name: str, task: Task) -> None:
    """Loss and accuracy of ours and of the model that transformers loads, each row by itself."""
    objective: Any = objectives.make(name, task, tokenizer.load(config))
    ours = backbone.load(config, objective.head, seed=0)
    assert preflight.preflight([(FULL, config, name)]) == [None, None]
    counted = [backbone.census(one).count(one) for one in (backbone.outline(config, objective.head), ours)]
    assert counted[0] == counted[1], "a budget counts what is loaded"
    split = prepare(objective, task)["validation"]
    found = score(ours, objective, split, "accuracy", 16)
    labels = {"num_labels": objective.head.labels, "ignore_mismatched_sizes": True} if objective.head.labels else {}
    kind = backbone.CLASSES[objective.head.kind]
    theirs = kind.from_pretrained(config.path, attn_implementation=config.attention, dtype=torch.float32, **labels)
    if objective.head.labels:
        theirs.load_state_dict({key: p for key, p in ours.named_parameters() if p.requires_grad}, strict=False)
    loss, right, items = 0.0, 0, 0
    for row, label in enumerate(split.targets):
        scores, tokens = _reference(theirs.eval(), name, objective, split.encoded.batch([row]))
        loss -= float(scores[label])
        right += int(scores.argmax()) == label
        items += tokens[label]
    assert found.loss == pytest.approx(loss / items, rel=1e-4)
    assert found.figures["accuracy"] == right / len(split.targets)


@torch.no_grad()
def _reference(model: Any, name: str, objective: Any, batch: Batch) -> tuple[torch.Tensor, list[int]]:
    """([C] log-likelihood of each label, how many tokens it has) of one row, nothing of it padded."""
    ids = batch.inputs[:, batch.mask[0].bool()]
    if name == "classifier":
        scores = model(input_ids=ids).logits[0].log_softmax(0)
        return scores, [1] * len(scores)
    if name == "masked":
        at = ids[0].tolist().index(VOCABULARY.index("<mask>"))
        scores = model(input_ids=ids).logits[0, at, [VOCABULARY.index(word) for word in ("bad", "good")]]
        return scores.log_softmax(0), [1] * len(scores)
    sums, lengths = [], []
    for option in batch.options[0]:  # type: ignore[index]
        answer = option[option != IGNORED]
        if name == "seq2seq":
            fed = torch.cat((torch.tensor([objective.start]), answer[:-1]))[None]
            logits = model(input_ids=ids, decoder_input_ids=fed).logits[0]
        else:
            logits = model(input_ids=torch.cat((ids[0], answer))[None]).logits[0, len(ids[0]) - 1 : -1]
        sums.append(-F.cross_entropy(logits.float(), answer, reduction="sum"))
        lengths.append(len(answer))
    return torch.stack(sums), lengths


def test_a_file_without_the_head_is_refused(bert: ModelConfig) -> None:
    with pytest.raises(UsageError, match=r"its files lack \d+ tensors that masked lm needs, cls\.predictions"):
        backbone.load(bert, Head("masked_lm"), seed=0)
    [_, said] = preflight.preflight([(FULL, bert, "masked")])
    wanted = r"lack \d+ tensors \(one is cls\.pred.*, which objective masked needs.* Take objective=classifier, or"
    assert re.search(wanted, str(said))


def test_a_file_without_the_pooler_is_refused_before_training(encoder: ModelConfig, bert: ModelConfig) -> None:
    """BERT's classifier reads the pooler, which a cloze's checkpoint does not hold; RoBERTa's reads the first state."""
    made = preflight.preflight([(FULL, encoder, "classifier"), (FULL, encoder, "masked"), (FULL, bert, "classifier")])
    if encoder.family == "roberta":
        assert made == [None] * 4
        return
    assert "lack 2 tensors (one is bert.pooler.dense.weight), which objective classifier needs" in str(made[1])
    assert "Take objective=masked, or a checkpoint" in str(made[1])
    assert made[2:] == [None, None]
    with pytest.raises(UsageError, match=r"its files lack 2 tensors that sequence classification needs"):
        backbone.load(encoder, Head("sequence_classification", 2), seed=0)


def test_whole_files_pass_preflight(t5: ModelConfig, decoder: ModelConfig) -> None:
    assert (
        preflight.preflight([(FULL, t5, "seq2seq"), (FULL, decoder, "causal"), (FULL, decoder, "classifier")])
        == [None] * 4
    )


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in STANDING else (pytest.mark.slow,)) for kind in sorted(KINDS)]
)
@pytest.mark.parametrize("shards", ["10KB", "1GB"])
def test_a_head_that_the_files_hold_for_as_many_labels_stays(kind: str, shards: str, tmp_path: Path) -> None:
    """As in transformers, whatever the seed, and in whichever way the files are read."""
    settings = _settings(kind)
    if type(settings) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        pytest.skip("it has no classifier")
    settings.num_labels = 2
    torch.manual_seed(0)
    made = AutoModelForSequenceClassification.from_config(settings)
    _disturb(made)
    made.save_pretrained(tmp_path, max_shard_size=shards)
    _save_tokenizer(tmp_path, VOCABULARY, "<s> $A </s>")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=2).state_dict()
    for seed in (1, 2):
        ours = backbone.load(_config(kind, tmp_path), Head("sequence_classification", 2), seed=seed).state_dict()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    other = backbone.load(_config(kind, tmp_path), Head("sequence_classification", 3), seed=1).state_dict()
    assert {name for name, tensor in theirs.items() if tensor.shape != other[name].shape}


def test_what_a_pretrained_head_holds_stays_and_the_rest_is_drawn(tmp_path: Path) -> None:
    """ModernBERT's prediction head serves its masked language model and its classifier."""
    torch.manual_seed(0)
    made = AutoModelForMaskedLM.from_config(_settings("modernbert"))
    _disturb(made)
    made.save_pretrained(tmp_path)
    _save_tokenizer(tmp_path, VOCABULARY, "<s> $A </s>")
    one, two = (
        backbone.load(_config("modernbert", tmp_path), Head("sequence_classification", 2), seed=seed) for seed in (1, 2)
    )
    assert torch.equal(one.head.dense.weight, made.head.dense.weight)
    assert not torch.equal(one.classifier.weight, two.classifier.weight)
    assert one.head.dense.weight.requires_grad
