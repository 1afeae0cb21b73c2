"""Backbones load frozen and equal to transformers' own loading; weights are known by their content."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, T5Config

from harness import network
from harness.config.schema import MethodConfig, ModelConfig, TaskConfig
from harness.errors import UsageError
from harness.execution import preflight
from harness.models import backbone, digest, weight_files
from harness.models.head import Head
from methods import registry as methods

LM, CLASSES = Head("seq2seq_lm"), Head("sequence_classification", 3)


def test_the_direct_way_gives_transformers_weights(t5: ModelConfig) -> None:
    ours = backbone.load(t5, LM, seed=0).state_dict()
    theirs = AutoModelForSeq2SeqLM.from_pretrained(str(t5.path), dtype=torch.float32).state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)


def test_half_precision_files_load_as_single_precision(t5: ModelConfig, tmp_path: Path) -> None:
    shutil.copytree(str(t5.path), tmp_path / "half")
    file = tmp_path / "half" / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    model = backbone.load(replace(t5, path=str(tmp_path / "half")), LM, seed=0)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_backbone_is_frozen_and_only_its_head_trains(t5: ModelConfig, bert: ModelConfig) -> None:
    assert not [name for name, p in backbone.load(t5, LM, seed=0).named_parameters() if p.requires_grad]
    model = backbone.load(bert, CLASSES, seed=0)
    trains = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trains == ["classifier.weight", "classifier.bias"]
    census = backbone.census(model)
    assert census.count(model) == {"delta": 0, "head": 3 * 16 + 3, "backbone": sum(
        p.numel() for name, p in model.named_parameters() if name not in trains)}  # fmt: skip
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    assert census.count(model)["delta"] == census.backbone


def test_the_seed_draws_the_head_and_only_the_head(bert: ModelConfig) -> None:
    one, same, other = (backbone.load(bert, CLASSES, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    assert differ == {"classifier.weight"}


def test_sharded_weights_and_renamed_tensors_go_through_transformers(t5: ModelConfig, tmp_path: Path) -> None:
    model = backbone.load(t5, LM, seed=0)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    shutil.copy(Path(str(t5.path)) / "tokenizer.json", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = backbone.load(replace(t5, path=str(tmp_path)), LM, seed=0).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_weights_that_lack_a_tensor_are_refused(t5: ModelConfig, tmp_path: Path) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(str(t5.path), folder)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("decoder.final_layer_norm.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack 1 tensor that seq2seq lm needs, decoder\.final"):
        backbone.load(replace(t5, path=str(folder)), LM, seed=0)


def test_weights_of_another_size_are_refused(t5: ModelConfig, tmp_path: Path) -> None:
    folder = tmp_path / "wider"
    shutil.copytree(str(t5.path), folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["shared.weight"] = torch.cat((tensors["shared.weight"], torch.zeros(2, 16)))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"shared\.weight is \(40, 16\) in its files and \(38, 16\) by its config"):
        backbone.load(replace(t5, path=str(folder)), LM, seed=0)


def test_random_weights_come_from_the_seed_and_need_no_file(t5: ModelConfig, tmp_path: Path) -> None:
    shutil.copytree(str(t5.path), tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    bare = weight_files.resolve(replace(t5, path=str(tmp_path / "bare"), weights="random"))
    one, same, other = (backbone.load(bare, LM, seed=seed).state_dict()["shared.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    with pytest.raises(UsageError, match="weights=random"):
        weight_files.resolve(replace(bare, weights="pretrained"))


def test_dropout_of_the_recipe_reaches_every_layer(t5: ModelConfig, bert: ModelConfig) -> None:
    for config, head in ((t5, LM), (bert, CLASSES)):
        model = backbone.load(config, head, seed=0, dropout=0.25)
        found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        assert found == {0.25}


def test_the_revision_is_the_content(t5: ModelConfig, tmp_path: Path) -> None:
    known = weight_files.resolve(t5)
    assert known.revision
    shutil.copytree(str(t5.path), tmp_path / "copy")
    moved = replace(t5, path=str(tmp_path / "copy"))
    assert weight_files.resolve(moved).revision == known.revision
    shutil.copytree(str(t5.path), tmp_path / "other")
    settings = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**settings, "layer_norm_epsilon": 1e-5}))
    assert weight_files.resolve(replace(t5, path=str(tmp_path / "other"))).revision != known.revision


def _spoil(folder: Path) -> None:
    """Other weights of the same size under the same time."""
    path = folder / "model.safetensors"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("what", ["weights", "configuration", "tokenizer"])
def test_files_that_changed_since_the_plan_are_not_loaded(t5: ModelConfig, tmp_path: Path, what: str) -> None:
    """Else the next seed of a sweep trains on other weights under the same revision and key."""
    folder = tmp_path / "copy"
    shutil.copytree(str(t5.path), folder)
    planned = weight_files.resolve(replace(t5, path=str(folder)))
    backbone.load(planned, LM, seed=0)
    if what == "weights":
        _spoil(folder)
    elif what == "configuration":
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, "dropout_rate": 0.3}))
    else:
        (folder / "merges.txt").write_text("a b")
    with pytest.raises(UsageError, match="have changed since this cell was planned"):
        backbone.load(planned, LM, seed=0)
    again = weight_files.resolve(replace(t5, path=str(folder)))
    assert again.revision != planned.revision
    backbone.load(again, LM, seed=0)


def test_files_that_change_while_they_are_read(
    t5: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(str(t5.path), folder)
    planned = weight_files.resolve(replace(t5, path=str(folder)))
    fill = backbone._fill

    def late(*arguments: Any) -> bool:
        _spoil(folder)
        return fill(*arguments)

    monkeypatch.setattr(backbone, "_fill", late)
    with pytest.raises(UsageError, match="have changed since this cell was planned"):
        backbone.load(planned, LM, seed=0)


def test_large_files_are_read_once_for_their_digest(t5: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = weight_files.resolve(t5)
    digests = digest.known()
    assert digests

    def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(digest.hashlib, "file_digest", read)
    backbone.load(planned, LM, seed=0)
    monkeypatch.setattr(digest, "_digests", {})  # another process, told by this one
    digest.learn(digests)
    backbone.load(planned, LM, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere"}, r"model\.path=nowhere: there is no such folder"),
        ({"source": "package", "location": "no_such_package"}, "package no-such-package is not installed"),
        ({"source": "embedded", "location": "micro-t5-nan"}, r"not in this copy.*pretrain model="),
    ],
)
def test_weights_that_are_not_there_are_one_sentence(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weight_files.resolve(ModelConfig(**{"name": "tiny", "family": "t5", **change}))


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must hold config\.json"):
        weight_files.resolve(ModelConfig(name="tiny", family="t5", path=str(tmp_path)))


def test_a_missing_package_gives_way_to_the_hub_at_its_commit() -> None:
    commit = "0123456789" * 4
    asked = ModelConfig("tiny", "bert", source="package", location="no_such_package", hub=f"someone/tiny@{commit}")
    found = weight_files.resolve(asked)
    assert (found.source, found.location, found.revision) == ("hub", "someone/tiny", commit)
    assert weight_files.resolve(found) == found


def test_a_hub_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("name or service not known\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)  # else it is tried for seconds
    monkeypatch.setattr(network, "obstacle", lambda: "")
    asked = ModelConfig("tiny", "bert", source="hub", location="someone/unknown", revision="0" * 40)
    assert weight_files.resolve(asked).revision == "0" * 40, "a full commit needs no network"
    with pytest.raises(UsageError, match=r"unknown at revision 0+ could not be read from the Hub .*model\.path=FOLDER"):
        weight_files.folder(asked)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99", ""])
def test_preflight_names_a_device_that_is_not_there(device: str) -> None:
    [said] = preflight.preflight([], device)
    assert str(said).startswith(f"device={device}: it cannot be used here")
    assert preflight.preflight([], "cpu") == preflight.preflight([], "auto") == [None]


def _copy(model: ModelConfig, tmp_path: Path) -> tuple[ModelConfig, Path]:
    shutil.copytree(str(model.path), tmp_path / "copy")
    return replace(model, path=str(tmp_path / "copy")), tmp_path / "copy"


@pytest.mark.parametrize(
    "content", [b"hello", b"", b"\xff" * 100, (40).to_bytes(8, "little") + b'{"a": {"shape": [1]}}']
)
def test_a_file_that_is_no_safetensors_is_refused_at_the_door(t5: ModelConfig, tmp_path: Path, content: bytes) -> None:
    config, folder = _copy(t5, tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=r"model\.safetensors: this is not a whole safetensors file"):
        weight_files.resolve(config)


def test_cut_off_weights_are_refused_at_the_door(t5: ModelConfig, tmp_path: Path) -> None:
    config, folder = _copy(t5, tmp_path)
    file = folder / "model.safetensors"
    assert digest.shapes(folder) == {name: tuple(tensor.shape) for name, tensor in load_file(file).items()}
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"it has [\d,]+ bytes of"):
        weight_files.resolve(config)


def test_a_foreign_model_never_gets_the_microworlds_tokenizer(t5: ModelConfig, tmp_path: Path) -> None:
    config, folder = _copy(t5, tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="holds no tokenizer"):
        weight_files.resolve(config)
    (folder / "pretraining.json").write_text("{}")  # made by `deltabench pretrain`: that one is its own
    assert weight_files.tokenizer_folder(config) == weight_files.WORLDS[1] / "tokenizer"


def test_an_error_that_no_words_caused_is_left_to_the_cell(t5: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attachment that fails in its own way must not end a sweep of many cells."""

    def broken(_: MethodConfig) -> None:
        raise AttributeError("no such module")

    monkeypatch.setattr(preflight.methods, "make", broken)
    assert preflight.preflight([(MethodConfig("lora", {}), t5, "seq2seq")]) == [None, None]


def test_preflight_compares_the_files_of_a_model(t5: ModelConfig, bert: ModelConfig, tmp_path: Path) -> None:
    config, folder = _copy(t5, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    pair = (MethodConfig("lora", {}), config, "seq2seq")
    (folder / "config.json").write_text(json.dumps({**settings, "d_ff": 48}))
    assert "in its files and (48, 16) by its config.json" in str(preflight.preflight([pair])[1])
    (folder / "config.json").write_text(json.dumps({**settings, "vocab_size": 20}))
    assert preflight.preflight([pair])[1]
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text("{}")
    assert "its tokenizer cannot be read" in str(preflight.preflight([pair])[1])


def test_a_tokenizer_of_another_model_is_refused(t5: ModelConfig, tmp_path: Path) -> None:
    config, folder = _copy(t5, tmp_path)
    tokens = json.loads((folder / "tokenizer.json").read_text())
    tokens["model"]["vocab"] |= {f"more{i}": 1000 + i for i in range(9)}
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    [_, said] = preflight.preflight([(MethodConfig("lora", {}), config, "seq2seq")])
    assert "its tokenizer has 47 tokens and its embedding 38 rows" in str(said)


def test_preflight_says_what_is_wrong_before_any_weights_are_read(t5: ModelConfig, bert: ModelConfig) -> None:
    good = (MethodConfig("lora", {}), t5, "seq2seq")
    bad = (MethodConfig("lora", {"targets": ["qq"]}), t5, "seq2seq")
    wrong = (MethodConfig("lora", {}), t5, "causal")
    long = (MethodConfig("prompt", {"length": 40}), bert, "classifier")
    device, *answers = preflight.preflight([good, bad, wrong, long])
    assert device is None
    assert answers[0] is None
    assert "'qq'" in str(answers[1])
    assert "cannot serve as causal lm" in str(answers[2])
    assert "adds 40 positions, and this model has 40" in str(answers[3])


def test_preflight_counts_the_positions_that_are_left_to_the_text(decoder: ModelConfig, tmp_path: Path) -> None:
    """Of the decoders, those with a table of positions."""
    config, folder = _copy(decoder, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    name = next(name for name in ("n_positions", "max_position_embeddings") if name in settings)
    (folder / "config.json").write_text(json.dumps({**settings, name: 12}))
    task = TaskConfig("micro/sentiment", label_words=("bad", "good"), max_unknown_share=1.0)
    room = [(MethodConfig("prompt", methods.resolve("prompt", {"length": n})), config, "causal", task) for n in (3, 4)]
    _, reads, fits, full = preflight.preflight([(config, "causal", task), *room])
    assert (reads, fits) == (None, None)
    assert "has 8 positions for a text and its answer, and task.max_target_tokens=8 leaves none" in str(full)


def test_an_output_layer_of_its_own_is_never_tied(t5: ModelConfig, tmp_path: Path) -> None:
    """T5 v1.1 and Flan: their config.json says tie_word_embeddings=false, and their files hold both."""
    config, folder = _copy(t5, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings.pop("scale_decoder_outputs", None)
    plan = {**settings, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(plan))
    random = backbone.load(replace(config, weights="random"), LM, seed=0)
    tensors = {name: torch.randn_like(p) for name, p in random.state_dict().items() if "embed_tokens" not in name}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    ours = backbone.load(config, LM, seed=0)
    theirs = AutoModelForSeq2SeqLM.from_pretrained(str(folder), dtype=torch.float32)
    for name in ("lm_head.weight", "shared.weight", "encoder.embed_tokens.weight"):
        torch.testing.assert_close(ours.state_dict()[name], theirs.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(ours.lm_head.weight, ours.shared.weight)
    ids = torch.tensor([[5, 6, 1]])
    batch = {"input_ids": ids, "decoder_input_ids": ids}
    torch.testing.assert_close(ours(**batch).logits, theirs.eval()(**batch).logits)
    counts = [sum(p.numel() for p in model.parameters()) for model in (backbone.outline(config, LM), random, theirs)]
    assert len(set(counts)) == 1


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_t5_v1_1_that_transformers_made_stays_tied(
    t5: ModelConfig, tmp_path: Path, weights: Literal["pretrained", "random"]
) -> None:
    """transformers 5 ties every T5 that it makes, and saves it without the output layer and with its own settings."""
    config, folder = _copy(t5, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings.pop("scale_decoder_outputs", None)
    made = AutoModelForSeq2SeqLM.from_config(
        T5Config(**{**settings, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False})
    )
    made.save_pretrained(str(folder))
    config = replace(config, weights=weights)
    ours = backbone.load(config, LM, seed=0)
    assert ours.lm_head.weight is ours.shared.weight
    assert len(list(backbone.outline(config, LM).parameters())) == len(list(ours.parameters()))
    if weights == "pretrained":
        ids = torch.tensor([[5, 6, 1]])
        batch = {"input_ids": ids, "decoder_input_ids": ids}
        torch.testing.assert_close(ours(**batch).logits, made.eval()(**batch).logits)


def test_code_that_comes_with_a_model_is_not_run_unless_asked(t5: ModelConfig, tmp_path: Path) -> None:
    config, folder = _copy(t5, tmp_path)
    plan = {"model_type": "mystery", "auto_map": {"AutoConfig": "own.Mystery"}}
    (folder / "config.json").write_text(json.dumps(plan))
    (folder / "own.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(UsageError, match=r"comes with code: model\.trust_remote_code=true runs it"):
        backbone.build(replace(config, family="mystery"), LM)
    with pytest.raises(SystemExit, match="was run"):
        backbone.build(replace(config, family="mystery", trust_remote_code=True), LM)


@pytest.mark.parametrize("layers", ["1000000000", "1e9", "1e400", "-1e9"])
def test_a_configuration_of_a_billion_layers_is_refused(t5: ModelConfig, tmp_path: Path, layers: str) -> None:
    """At once, in one sentence, before anything of it is made."""
    folder = tmp_path / "deep"
    shutil.copytree(str(t5.path), folder)
    text = (folder / "config.json").read_text()
    assert '"num_layers": 1,' in text
    (folder / "config.json").write_text(text.replace('"num_layers": 1,', f'"num_layers": {layers},'))
    full = MethodConfig("full", methods.resolve("full", {}))
    [_, said] = preflight.preflight([(full, replace(t5, path=str(folder)), "seq2seq")])
    assert re.search(r"config\.json (says num_layers=|does not make a configuration)|\.json.*not finite", str(said)), (
        said
    )
