"""Configurations of the installed PEFT library as a method."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import UsageError
from methods.base import trainable
from methods.exchange import write_peft
from methods.kept import count
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make

pytest.importorskip("methods.peft")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("LOHA", ["r=3"]), ("LOKR", None), ("HRA", ["r=2"]), ("LORA", ["r=2"]), ("C3A", ["block_size=8"]), ("OFT", None)],
)
def test_a_type_attaches_trains_and_merges(kind: str, settings: list[str] | None) -> None:
    toy = TOYS["t5"]
    model = backbone(toy)
    before = count(model)["backbone"]
    start, plain = logits(model, toy), set(model.state_dict())
    method = attach("peft", model, peft_type=kind, settings=settings)
    assert torch.allclose(logits(model, toy), start, atol=1e-5) == (kind != "C3A")
    assert count(model)["backbone"] == before
    assert count(model)["delta"] > 0
    model(**batch(toy)).loss.backward()
    assert any(p.grad is not None and bool(p.grad.abs().max() > 0) for _, p in trainable(model))
    disturb(model)
    after = logits(model, toy)
    method.merge(model)
    torch.testing.assert_close(logits(model, toy), after, rtol=1e-4, atol=1e-4)
    assert set(model.state_dict()) == plain


@pytest.mark.parametrize("key", ["t5", "bert-head"])
@pytest.mark.parametrize("kind", ["LOHA", "OFT", "LORA", "IA3"])
def test_peft_loads_what_it_trained_here(kind: str, key: str, tmp_path: Path) -> None:
    toy, settings = TOYS[key], {"LORA": ["use_dora=true"], "IA3": ["feedforward_modules=[]"]}.get(kind)
    model = backbone(toy)
    method = attach("peft", model, peft_type=kind, settings=settings)
    disturb(model)
    write_peft(model, method, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = importlib.import_module("peft").PeftModel.from_pretrained(backbone(toy), tmp_path).eval()
        with torch.no_grad():
            other = theirs(**batch(toy)).logits
    torch.testing.assert_close(logits(model, toy), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"peft_type": "LOHAA"}, "LOHAA: not here. Did you mean LOHA"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING: not here"),
        ({"settings": ["rr=3"]}, "LOHA has no field 'rr'"),
        ({"settings": ["r"]}, "must be field=value"),
        ({"settings": ["r=0"]}, "PEFT refuses"),
        ({"targets": ["qq"]}, "matches no linear layer"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule) as caught:
        make("peft", **fields).attach(backbone(TOYS["t5"]))
    assert "\n" not in str(caught.value)
