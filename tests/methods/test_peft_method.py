"""Configurations of the installed PEFT library as a method."""

import importlib
import json
import re
import warnings
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from harness.errors import UsageError
from methods.backbone.trainable_parameters import trainable
from methods.peft import LORA_FIELDS, STARTS, TYPES
from methods.peft_files.export import write_peft
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count

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


SETTINGS = {
    "C3A": ["block_size=8"],
    "FOURIERFT": ["n_frequency=20"],
    "LORA": ["use_dora=true"],
    "MISS": ["r=4"],
    "PSOFT": ["r=4"],
    "ROAD": ["group_size=4"],
    "WAVEFT": ["n_frequency=20"],
}
"""What the tiny weights need."""


def test_every_type_of_the_installed_peft_runs_or_is_refused_by_name() -> None:
    """A type that a newer PEFT brings is refused until somebody has looked at what it needs."""
    peft = importlib.import_module("peft")
    kinds = {kind.value for kind in peft.PEFT_TYPE_TO_CONFIG_MAPPING}
    assert kinds >= TYPES
    for kind in sorted(kinds):
        with torch.device("meta"):
            model = backbone(TOYS["llama-gqa"])
        method = make("peft", peft_type=kind, settings=SETTINGS.get(kind))
        if kind in TYPES:
            method.attach(model)  # without memory, as a plan does it
            assert count(model)["delta"] > 0
            continue
        with pytest.raises(UsageError, match=f"{kind}: not supported: ") as caught:
            method.attach(model)
        assert "does not know what it needs" not in str(caught.value)


def _starts() -> list[Any]:
    """The values of `init_lora_weights` that the installed PEFT declares, and the one that it only mentions."""
    hints = get_type_hints(importlib.import_module("peft").LoraConfig)["init_lora_weights"]
    named = [value for kind in get_args(hints) for value in get_args(kind)]
    return [True, False, *named, "lora_ga", "pissa_niter_4", "PiSSA", "tomorrow"]


def test_every_start_of_the_installed_peft_runs_or_is_refused_by_name() -> None:
    for start in _starts():
        word = json.dumps(start) if isinstance(start, bool) else start
        method = make("peft", peft_type="LORA", settings=["r=2", f"init_lora_weights={word}"])
        model = backbone(TOYS["t5"])
        frozen = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if start in STARTS:
            method.attach(model)
            kept = {name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()}
            assert all(torch.equal(tensor, kept[name]) for name, tensor in frozen.items())
            continue
        with pytest.raises(UsageError, match=f"init_lora_weights={re.escape(word)}: such a start"):
            method.attach(model)


def test_every_field_of_lora_runs_or_is_refused_by_name() -> None:
    """None is passed on without a look: a newer PEFT's are refused."""
    fields = importlib.import_module("peft").LoraConfig.__dataclass_fields__
    assert set(fields) >= LORA_FIELDS
    for field in set(fields) - LORA_FIELDS:
        method = make("peft", peft_type="LORA", settings=[f"{field}=1"])
        with pytest.raises(UsageError, match=f"method.settings: {field}=1: (it needs more|method.targets and)"):
            method.attach(backbone(TOYS["t5"]))


@pytest.mark.parametrize(("key", "kind"), [*(("bert-head", kind) for kind in sorted(TYPES)), ("gpt2", "LORA")])
def test_peft_loads_what_it_trained_here(kind: str, key: str, tmp_path: Path) -> None:
    toy, settings = TOYS[key], SETTINGS.get(kind)
    model = backbone(toy)
    method = make("peft", peft_type=kind, settings=settings, targets=["c_attn"] if key == "gpt2" else ["q", "v"])
    method.attach(model)
    disturb(model)
    write_peft(model, method, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = importlib.import_module("peft").PeftModel.from_pretrained(backbone(toy), tmp_path).eval()
        with torch.no_grad():
            other = theirs(**batch(toy)).logits
    other = other[batch(toy)["attention_mask"].bool()] if toy.kind == "causal" else other
    torch.testing.assert_close(logits(model, toy), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"peft_type": "LOHAA"}, "LOHAA: the installed PEFT has no such type. Did you mean LOHA"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING: not supported: it wraps the model's call"),
        ({"peft_type": "ADALORA", "settings": ["total_step=10"]}, "ADALORA: not supported: it needs a call"),
        ({"peft_type": "LORA", "settings": ["alora_invocation_tokens=[7]"]}, "it needs more than LoRA's layers"),
        ({"peft_type": "LORA", "settings": ["init_lora_weights=1"]}, "init_lora_weights=1: such a start looks at data"),
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
