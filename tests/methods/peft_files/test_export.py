"""Deltas go to PEFT and come back; what does not fit is refused and changes nothing."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from harness.config.schema import MethodConfig
from harness.errors import UsageError
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.base import Method
from methods.peft_files import fields as peft_fields
from methods.peft_files.detect import method_of
from methods.peft_files.export import FORMATS, read_peft, write_peft
from methods.peft_files.file_names import CONFIG, TENSORS
from methods.vera import Scaled
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.toys import OPT, SMALL, WIDE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # optional packages that peft looks for
    peft = pytest.importorskip("peft")

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
FIELDS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 3, "alpha": 5, "rslora": True, "targets": ["q", "ffn-out"]},
    "dora": {"rank": 3, "targets": ["q", "ffn-out"]},
    "vera": {"rank": 5, "projection_seed": 3, "targets": ["q", "ffn-out"]},
    "ia3": {},
    "prompt": {"length": 4},
}
ROWS = {"targets": ["q", "v", "ffn-out"]}  # rows of a fused linear, two of one, and a transposed one
FUSED: dict[str, dict[str, Any]] = {"lora": FIELDS["lora"] | ROWS, "dora": FIELDS["dora"] | ROWS, "vera": {}}
USUAL = ("t5", "llama-gqa", "roberta-masked", "bert-head", "gpt2")
RARE = ("bart", "distilbert-head", "gptj", "opt", "phi", "gemma2", "qwen3", "gpt-neox", "bloom")
PAIRS = [
    pytest.param(kind, key, marks=() if key in USUAL else pytest.mark.slow)
    for kind in FORMATS
    for key in (*USUAL, *RARE)
    if kind != "prompt" or TOYS[key].kind in ("seq2seq", "causal")
]


def test_all_are_tested() -> None:
    assert set(FIELDS) == set(FORMATS)


def fields_of(kind: str, key: str) -> dict[str, Any]:
    """What to attach so that the toy has it."""
    if key in ("gpt-neox", "bloom"):  # interleaved: the whole of q, k and v
        whole = {"targets": ["query_key_value", "ffn-out"], "outputs": ["query_key_value"]}
        known = methods.find(kind).fields
        return FIELDS[kind] | {name: value for name, value in whole.items() if name in known}
    return FIELDS[kind] | (FUSED.get(kind, {}) if key == "gpt2" else {})


def trained(kind: str, key: str) -> tuple[Any, Method]:
    model = backbone(TOYS[key])
    method = attach(kind, model, **fields_of(kind, key))
    disturb(model)
    return model, method


@pytest.mark.parametrize(("kind", "key"), PAIRS)
def test_real_peft_loads_what_we_write(kind: str, key: str, tmp_path: Path) -> None:
    model, method = trained(kind, key)
    if kind == "vera" and key == "gpt2":
        with pytest.raises(UsageError, match="PEFT has no vera on some rows of a fused linear"):
            write_peft(model, method, tmp_path)
        return
    write_peft(model, method, tmp_path)
    torch.testing.assert_close(logits(model, TOYS[key]), peft_logits(key, tmp_path), **CLOSE)


@pytest.mark.parametrize("kind", ["lora", "dora", "vera"])
@pytest.mark.parametrize("key", ["gpt-neox", "bloom"])
def test_all_linears_with_a_fused_one_go_out_and_come_back(kind: str, key: str, tmp_path: Path) -> None:
    model = backbone(TOYS[key])
    method = make(kind, **FIELDS[kind] | {"targets": ["all-linear"]})
    method.attach(model)
    disturb(model)
    write_peft(model, method, tmp_path)
    assert len(json.loads((tmp_path / CONFIG).read_text())["target_modules"]) == 2 * 4, "blocks, and their linears"
    torch.testing.assert_close(peft_logits(key, tmp_path), logits(model, TOYS[key]), **CLOSE)
    torch.testing.assert_close(logits(brought_in(key, tmp_path)[0], TOYS[key]), logits(model, TOYS[key]), **CLOSE)
    method.merge(model)
    torch.testing.assert_close(peft_logits(key, tmp_path), logits(model, TOYS[key]), **CLOSE)


def test_a_token_may_be_narrower_than_the_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OPT-350m projects its embeddings to the width of its blocks, and a prompt is as wide as an embedding."""
    narrow = hf.OPTConfig(**SMALL, **OPT | {"word_embed_proj_dim": 8})
    monkeypatch.setitem(TOYS, "opt", replace(TOYS["opt"], build=lambda: hf.OPTForCausalLM(narrow)))
    model, method = trained("prompt", "opt")
    write_peft(model, method, tmp_path)
    torch.testing.assert_close(logits(model, TOYS["opt"]), peft_logits("opt", tmp_path), **CLOSE)
    again = backbone(TOYS["opt"])
    read_peft(again, attach("prompt", again, length=4), tmp_path)
    torch.testing.assert_close(logits(again, TOYS["opt"]), logits(model, TOYS["opt"]), rtol=0, atol=0)


def peft_logits(key: str, folder: Path, model: Any = None) -> torch.Tensor:
    """What PEFT computes with the files alone, without a warning when it loads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for known in (r"Specified to not (save|load) vera_A and vera_B", r"Model has `tie_word_embeddings=True`"):
            warnings.filterwarnings("ignore", message=known)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        theirs = peft.PeftModel.from_pretrained(model or backbone(TOYS[key]), folder).eval()
    inputs = batch(TOYS[key])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other: torch.Tensor = theirs(**inputs).logits
    if TOYS[key].kind in ("causal", "masked"):
        valid = inputs["attention_mask"].bool()
        other = other[:, -valid.shape[1] :][valid]
    return other


@pytest.mark.parametrize("targets", [["lm_head"], ["lm_head", "q"]])
@pytest.mark.parametrize("kind", ["lora", "dora", "vera"])
@pytest.mark.parametrize("key", ["llama-gqa", "t5"])
def test_an_output_layer_among_the_targets_goes_out_and_comes_back(
    kind: str, key: str, targets: list[str], tmp_path: Path
) -> None:
    """PEFT saves its frozen weight, too; it is no head that trains in full."""
    model = backbone(TOYS[key])
    method = attach(kind, model, **FIELDS[kind] | {"targets": targets})
    disturb(model)
    write_peft(model, method, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / CONFIG).read_text())["modules_to_save"] is None
    torch.testing.assert_close(peft_logits(key, tmp_path / "ours"), logits(model, TOYS[key]), **CLOSE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.PeftModel.from_pretrained(backbone(TOYS[key]), tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    assert any(name.endswith("base_layer.weight") for name in load_file(tmp_path / "theirs" / TENSORS))
    other, _ = brought_in(key, tmp_path / "theirs")
    torch.testing.assert_close(logits(other, TOYS[key]), logits(model, TOYS[key]), **CLOSE)
    _poison(tmp_path / "theirs", lambda t, _: {n: x + n.endswith("base_layer.weight") for n, x in t.items()})
    with pytest.raises(UsageError, match="a weight of lm_head that is not this backbone's"):
        brought_in(key, tmp_path / "theirs")


def brought_in(key: str, folder: Path) -> tuple[Any, Method]:
    """A model with PEFT's files in it."""
    model = backbone(TOYS[key])
    found = method_of(folder, model)
    method = attach(found.name, model, seed=9, **found.fields)
    read_peft(model, method, folder)
    return model, method


@pytest.mark.parametrize(("kind", "key"), PAIRS)
def test_we_load_what_real_peft_writes(kind: str, key: str, tmp_path: Path) -> None:
    if kind == "vera" and key == "gpt2":
        pytest.skip("it does not go out")
    model, method = trained(kind, key)
    write_peft(model, method, tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(backbone(TOYS[key]), tmp_path / "ours")
        theirs.save_pretrained(tmp_path / "theirs")
    other, again = brought_in(key, tmp_path / "theirs")
    if key not in ("gpt2", "gpt-neox", "bloom"):  # what is fused comes back as one on the whole
        assert method_of(tmp_path / "theirs", backbone(TOYS[key])) == MethodConfig(kind, _fields(again, kind))
    torch.testing.assert_close(logits(other, TOYS[key]), logits(model, TOYS[key]), **CLOSE)


def _fields(method: Method, kind: str) -> dict[str, Any]:
    """All fields in their canonical form."""
    return methods.resolve(kind, {name: getattr(method, name) for name in FIELDS[kind]})


QV = ["q_proj", "v_proj"]
MADE: dict[str, Any] = {
    "plain": lambda: peft.LoraConfig(r=3, target_modules=QV, lora_dropout=0.1),
    "gaussian": lambda: peft.LoraConfig(r=3, target_modules=QV, init_lora_weights="gaussian"),
    "orthogonal": lambda: peft.LoraConfig(r=4, target_modules=QV, init_lora_weights="orthogonal"),
    "eva": lambda: peft.LoraConfig(r=4, target_modules=QV, init_lora_weights="eva"),
    "layers": lambda: peft.LoraConfig(r=3, target_modules=QV, layers_to_transform=[1]),
    "exclude": lambda: peft.LoraConfig(r=3, target_modules=QV, exclude_modules=r".*layers\.0.*"),
    "regex": lambda: peft.LoraConfig(r=3, target_modules=r".*layers\.1.*(q|up)_proj", use_dora=True),
    "all": lambda: peft.LoraConfig(r=3, target_modules="all-linear", use_rslora=True),
    "output": lambda: peft.LoraConfig(r=3, target_modules=["lm_head", "q_proj"]),
    "vera": lambda: peft.VeraConfig(r=5, target_modules=["q_proj", "o_proj"], vera_dropout=0.1),
    "ia3": lambda: peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "ia3 outputs": lambda: peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=[]),
    "ia3 inputs": lambda: peft.IA3Config(target_modules=["down_proj"], feedforward_modules=["down_proj"]),
    "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
}
REFUSED: dict[str, Any] = {
    "init_lora_weights": lambda: peft.LoraConfig(r=3, target_modules=QV, init_lora_weights="pissa"),
    "init_lora_weights olora": lambda: peft.LoraConfig(r=3, target_modules=QV, init_lora_weights="olora"),
    "init_lora_weights mica": lambda: peft.LoraConfig(r=3, target_modules=QV, init_lora_weights="mica"),
    "alora_invocation_tokens": lambda: peft.LoraConfig(
        r=3, target_modules=QV, alora_invocation_tokens=[7], task_type="CAUSAL_LM"
    ),
    "lora_bias": lambda: peft.LoraConfig(r=3, target_modules=QV, lora_bias=True),
    "rank_pattern": lambda: peft.LoraConfig(r=3, target_modules=QV, rank_pattern={"v_proj": 2}),
    "alpha_pattern": lambda: peft.LoraConfig(r=3, target_modules=QV, alpha_pattern={"v_proj": 2}),
    "trainable_token_indices": lambda: peft.LoraConfig(r=3, target_modules=QV, trainable_token_indices=[7]),
    "layer_replication": lambda: peft.LoraConfig(r=3, target_modules=QV, layer_replication=[(0, 2), (1, 2)]),
    "modules_to_save": lambda: peft.LoraConfig(r=3, target_modules=QV, modules_to_save=["lm_head"]),
    "target_modules": lambda: peft.LoraConfig(r=3, target_modules=["embed_tokens", "q_proj"]),
    "bias": lambda: peft.LoraConfig(r=3, target_modules=QV, bias="all"),
}


def made_by_peft(config: Any, folder: Path, key: str = "llama-gqa") -> None:
    """An adapter that PEFT alone made, trained a little. config: makes PEFT's configuration."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(backbone(TOYS[key]), config())
        disturb(model)
        model.save_pretrained(folder)


@pytest.mark.parametrize("made", MADE)
def test_what_peft_made_scores_here_as_it_does_there(made: str, tmp_path: Path) -> None:
    made_by_peft(MADE[made], tmp_path)
    model, _ = brought_in("llama-gqa", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(backbone(TOYS["llama-gqa"]), tmp_path).eval()
        inputs = batch(TOYS["llama-gqa"])
        with torch.no_grad():
            wanted = theirs(**inputs).logits
    valid = inputs["attention_mask"].bool()
    torch.testing.assert_close(logits(model, TOYS["llama-gqa"]), wanted[:, -valid.shape[1] :][valid], **CLOSE)


@pytest.mark.parametrize("submodules", [1, 2])
def test_an_encoder_decoders_prompt_comes_with_one_that_peft_ignores(submodules: int, tmp_path: Path) -> None:
    fields = {"num_virtual_tokens": 4, "task_type": "SEQ_2_SEQ_LM", "num_transformer_submodules": submodules}
    made_by_peft(lambda: peft.PromptTuningConfig(**fields), tmp_path, "t5")
    model, _ = brought_in("t5", tmp_path)
    torch.testing.assert_close(logits(model, TOYS["t5"]), peft_logits("t5", tmp_path), **CLOSE)


@pytest.mark.parametrize("made", REFUSED)
def test_what_no_method_here_does_is_refused_by_the_fields_name(made: str, tmp_path: Path) -> None:
    made_by_peft(REFUSED[made], tmp_path)
    with pytest.raises(UsageError, match=rf"{CONFIG}: {made.split()[0]} (is|holds) "):
        method_of(tmp_path, backbone(TOYS["llama-gqa"]))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_field_of_the_installed_peft_is_known_or_refused_by_name(kind: str, tmp_path: Path) -> None:
    """So is one that a newer PEFT brings, unless it is at null."""
    model, method = trained(kind, "t5")
    write_peft(model, method, tmp_path)
    form = FORMATS[kind]
    fields = {kind.value: cls for kind, cls in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}[form.peft_type]
    known = peft_fields.INERT[form.peft_type] | peft_fields._INERT | set(form.fields.values())
    held, unknown = json.loads((tmp_path / CONFIG).read_text()), {*fields.__dataclass_fields__, "tomorrow"} - known
    assert "tomorrow" in unknown
    for field in unknown:
        _edit(tmp_path, **held | {field: 3})
        with pytest.raises(UsageError, match=rf"{CONFIG}: {field} is 3, which"):
            method_of(tmp_path, backbone(TOYS["t5"]))
        _edit(tmp_path, **held | {field: None})
        assert method_of(tmp_path, backbone(TOYS["t5"])).name == kind


def test_dora_on_a_row_of_zeros_is_not_written(tmp_path: Path) -> None:
    """PEFT would compute NaN with it."""
    model = backbone(TOYS["llama-zero-rows"])
    method = attach("dora", model)
    with pytest.raises(UsageError, match="row 3 of the weight is zero, and PEFT's DoRA divides by its length"):
        write_peft(model, method, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "OFT"}, "peft_type is 'OFT'; deltabench reads LORA, VERA, IA3, PROMPT_TUNING"),
        ({"bias": "all"}, "bias is 'all', which no method here has"),
        ({"alpha_pattern": {"q": 3}}, "alpha_pattern is {'q': 3}, which no method here has"),
    ],
)
def test_files_that_no_method_here_made_are_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    model, method = trained("lora", "t5")
    write_peft(model, method, tmp_path)
    _edit(tmp_path, **fields)
    with pytest.raises(UsageError, match=re.escape(message)):
        method_of(tmp_path, backbone(TOYS["t5"]))


def test_another_projection_is_refused(tmp_path: Path) -> None:
    """PEFT saves VeRA's frozen projection by default; it must be the one that the seed draws."""
    model, method = trained("vera", "t5")
    write_peft(model, method, tmp_path)
    own = next(module for module in model.modules() if isinstance(module, Scaled))
    tensors = load_file(tmp_path / TENSORS)
    projection = {"base_model.vera_A": own.A.detach(), "base_model.vera_B": own.B.detach()}
    save_file(tensors | projection, tmp_path / TENSORS)
    read_peft(model, method, tmp_path)
    save_file(tensors | projection | {"base_model.vera_B": own.B + 1}, tmp_path / TENSORS)
    with pytest.raises(UsageError, match="vera_B is not the projection that its seed draws"):
        read_peft(model, method, tmp_path)


def _truncate(folder: Path) -> None:
    data = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(data[: len(data) // 2])


def _edit(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | fields))


def _poison(folder: Path, change: Any) -> None:
    tensors = load_file(folder / TENSORS)
    first = next(iter(tensors))
    save_file(change(tensors, first), folder / TENSORS)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_truncate, "expected a whole safetensors file"),
        (lambda f: (f / TENSORS).unlink(), "expected a whole safetensors file"),
        (lambda f: (f / TENSORS).rename(f / "adapter_model.bin"), "adapter_model.bin is never read"),
        (lambda f: (f / CONFIG).unlink(), "expected PEFT's configuration"),
        (lambda f: (f / CONFIG).write_text("[]"), "a JSON object"),
        (lambda f: _edit(f, peft_type="OFT"), "peft_type is 'OFT', this method expects 'LORA'"),
        (lambda f: _edit(f, lora_alpha=1), "lora_alpha is 1, this method expects 5.0"),
        (lambda f: _edit(f, use_dora=True), "use_dora is True, this method expects False"),
        (lambda f: _poison(f, lambda t, k: t | {k: t[k] * float("nan")}), "values that are not finite"),
        (lambda f: _poison(f, lambda t, k: {n: x for n, x in t.items() if n != k}), "lacks 1 of"),
        (
            lambda f: _poison(f, lambda t, k: t | {"base_model.model.x.lora_A.weight": t[k].clone()}),
            "does not train here",
        ),
        (lambda f: _poison(f, lambda t, k: t | {k: torch.zeros(2, 2)}), "the model's is"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_change_nothing(harm: Any, message: str, tmp_path: Path) -> None:
    model, method = trained("lora", "t5")
    write_peft(model, method, tmp_path)
    harm(tmp_path)
    held = {path: path.read_bytes() for path in tmp_path.iterdir()}
    before = delta_state(model)
    with pytest.raises(UsageError, match=message) as caught:
        read_peft(model, method, tmp_path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in delta_state(model).items())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == held


def test_what_peft_has_not_is_said(tmp_path: Path) -> None:
    model, method = trained("prompt", "roberta-masked")
    with pytest.raises(UsageError, match="before the first token"):
        write_peft(model, method, tmp_path / "a")
    for classifier in (
        hf.LlamaForSequenceClassification(hf.LlamaConfig(**SMALL, **WIDE)),
        hf.T5ForSequenceClassification(
            hf.T5Config(vocab_size=60, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4)
        ),
    ):
        for name, parameter in classifier.named_parameters():
            parameter.requires_grad_(not name.startswith(classifier.base_model_prefix))
        with pytest.raises(UsageError, match="does not see where a row ends"):
            write_peft(classifier, attach("prompt", classifier), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    model = backbone(TOYS["t5"])
    with pytest.raises(UsageError, match="no DoRA of magnitudes alone"):
        write_peft(model, attach("dora", model, magnitude_targets=["o"]), tmp_path / "a")
    model = backbone(TOYS["t5"])
    with pytest.raises(UsageError, match="adapter has no export to PEFT; there is one for lora, dora"):
        write_peft(model, attach("adapter", model), tmp_path / "a")
    assert not (tmp_path / "a").exists()
