"""Deltas go to PEFT and come back; what does not fit is refused and changes nothing."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import methods
from harness.config import MethodConfig
from harness.errors import UsageError
from methods.adapter_files import CONFIG, TENSORS
from methods.base import Method
from methods.exchange import FORMATS, read_peft, write_peft
from methods.foreign import method_of
from methods.kept import delta_state
from methods.vera import Scaled
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits

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
PAIRS = [
    (kind, key)
    for kind in FORMATS
    for key in ("t5", "llama-gqa", "roberta-masked", "bert-head")
    if kind != "prompt" or key in ("t5", "llama-gqa")
]


def test_all_are_tested() -> None:
    assert set(FIELDS) == set(FORMATS)


def trained(kind: str, key: str) -> tuple[Any, Method]:
    model = backbone(TOYS[key])
    method = attach(kind, model, **FIELDS[kind])
    disturb(model)
    return model, method


@pytest.mark.parametrize(("kind", "key"), PAIRS)
def test_real_peft_loads_what_we_write(kind: str, key: str, tmp_path: Path) -> None:
    model, method = trained(kind, key)
    write_peft(model, method, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=r"Specified to not (save|load) vera_A and vera_B")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        theirs = peft.PeftModel.from_pretrained(backbone(TOYS[key]), tmp_path).eval()
    inputs = batch(TOYS[key])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = theirs(**inputs).logits
    if TOYS[key].kind in ("causal", "masked"):
        valid = inputs["attention_mask"].bool()
        other = other[:, -valid.shape[1] :][valid]
    torch.testing.assert_close(logits(model, TOYS[key]), other, **CLOSE)


@pytest.mark.parametrize(("kind", "key"), PAIRS)
def test_we_load_what_real_peft_writes(kind: str, key: str, tmp_path: Path) -> None:
    model, method = trained(kind, key)
    write_peft(model, method, tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(backbone(TOYS[key]), tmp_path / "ours")
        theirs.save_pretrained(tmp_path / "theirs")
    other = backbone(TOYS[key])
    again = attach(kind, other, seed=9, **FIELDS[kind])
    read_peft(other, again, tmp_path / "theirs")
    assert method_of(tmp_path / "theirs", backbone(TOYS[key])) == MethodConfig(kind, _fields(again, kind))
    torch.testing.assert_close(logits(other, TOYS[key]), logits(model, TOYS[key]), **CLOSE)


def _fields(method: Method, kind: str) -> dict[str, Any]:
    """All fields in their canonical form."""
    return methods.resolve(kind, {name: getattr(method, name) for name in FIELDS[kind]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "OFT"}, "peft_type is 'OFT'; what can be read is LORA, VERA, IA3, PROMPT_TUNING"),
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
    model = backbone(TOYS["t5"])
    with pytest.raises(UsageError, match="no DoRA of magnitudes alone"):
        write_peft(model, attach("dora", model, magnitude_targets=["o"]), tmp_path / "a")
    model = backbone(TOYS["t5"])
    with pytest.raises(UsageError, match="adapter has no PEFT counterpart; there are lora, dora"):
        write_peft(model, attach("adapter", model), tmp_path / "a")
    assert not (tmp_path / "a").exists()
