"""Configurations of the installed PEFT library as a method."""

import importlib
import re
import warnings
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from harness.cli.command_line import parse
from harness.errors import UsageError
from harness.training import tensor_file
from methods.backbone.trainable_parameters import trainable
from methods.base import Training
from methods.peft_files.export import write_peft
from methods.peft_layers.peft_types import FIELDS, REFUSED, REFUSED_STARTS, REWRITING, RUNS, STARTS
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
    "SHIRA": ["r=3"],
    "WAVEFT": ["n_frequency=20"],
}
"""What the tiny weights need."""


def test_every_type_of_the_installed_peft_runs_or_is_refused_by_name() -> None:
    """A type that a newer PEFT brings is refused until somebody has looked at what it needs."""
    peft = importlib.import_module("peft")
    kinds = {kind.value for kind in peft.PEFT_TYPE_TO_CONFIG_MAPPING}
    assert kinds == set(RUNS) | set(REFUSED)
    for kind in sorted(kinds):
        method = make("peft", peft_type=kind, settings=SETTINGS.get(kind))
        with torch.device("meta"):
            model = backbone(TOYS["llama-gqa"])
        if kind in REFUSED:
            with pytest.raises(UsageError, match=re.escape(f"{kind}: not supported: {REFUSED[kind]}.")):
                method.attach(model)
            continue
        method.attach(model)  # without memory, as a plan does it
        real = backbone(TOYS["llama-gqa"])
        method.attach(real)
        assert count(model)["delta"] == count(real)["delta"] > 0, kind
        assert all(p.is_meta for p in model.parameters()), kind


def _named_starts() -> list[str]:
    """The values of `init_lora_weights` that the installed PEFT declares, and the two that it only mentions."""
    hints = get_type_hints(importlib.import_module("peft").LoraConfig)["init_lora_weights"]
    named = [value for kind in get_args(hints) for value in get_args(kind)]
    return ["true", "false", *named, "lora_ga", "pissa_niter_4"]


def test_every_start_of_the_installed_peft_runs_or_is_refused_by_name() -> None:
    starts = [re.sub(r"niter_(\d+|\[.*\])$", "niter_N", start) for start in _named_starts()]
    assert set(starts) == set(STARTS) | set(REFUSED_STARTS)
    for start in [*REFUSED_STARTS, "pissa_niter_4", "PiSSA", "tomorrow"]:
        with pytest.raises(UsageError, match=rf"init_lora_weights={start}: not supported: \w.*Starts that run are"):
            make("peft", peft_type="LORA", settings=["r=2", f"init_lora_weights={start}"]).attach(backbone(TOYS["t5"]))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("start", [start for start in STARTS if start != "true"])
@pytest.mark.parametrize("key", ["t5", "llama-gqa", "roberta-masked"])
def test_a_start_that_runs_is_not_the_usual_one(key: str, start: str, precision: torch.dtype) -> None:
    """What trains or what is frozen differs, while the start is the backbone's, except where nobody claims it."""
    toy, made = TOYS[key], {}
    for name in ("true", start):
        model = made[name] = backbone(toy).to(precision)
        before = logits(model, toy)
        make("peft", peft_type="LORA", settings=["r=2", f"init_lora_weights={name}"]).attach(model)
        off = float((logits(model, toy) - before).abs().max())
        assert (off < (1e-4 if precision is torch.float32 else 0.2)) == (name != "false"), (name, off)
    usual, other = (dict(made[name].named_parameters()) for name in ("true", start))
    frozen = [name for name in usual if "base_layer" in name and not torch.equal(usual[name], other[name])]
    assert bool(frozen) == (start in REWRITING)
    trained = [dict(trainable(model)) for model in made.values()]
    assert trained[0].keys() != trained[1].keys() or any(
        not torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items()
    )
    if start == "mica":
        assert not any("lora_B" in name for name in trained[1])


def test_the_start_of_pissa_is_the_principal_part() -> None:
    """Of a weight less its best approximation of rank 2, in closed form."""
    toy = TOYS["llama-gqa"]
    model, plain = backbone(toy), backbone(toy)
    make("peft", peft_type="LORA", settings=["r=2", "init_lora_weights=pissa"]).attach(model)
    weight = plain.get_parameter("model.layers.0.self_attn.q_proj.weight")
    left, values, right = torch.linalg.svd(weight)
    rest = weight - left[:, :2] @ torch.diag(values[:2]) @ right[:2]
    own = model.get_parameter("model.layers.0.self_attn.q_proj.base_layer.weight")
    torch.testing.assert_close(own, rest, rtol=1e-4, atol=1e-5)


def test_a_start_that_rewrites_a_shared_weight_is_refused() -> None:
    method = make("peft", peft_type="LORA", settings=["r=2", "init_lora_weights=pissa"], targets=["lm_head"])
    with pytest.raises(UsageError, match="rewrites the weight of lm_head, which another module shares"):
        method.attach(backbone(TOYS["t5"]))
    method.attach(backbone(TOYS["llama-gqa"]))  # whose output layer is its own


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_every_field_acts_on_the_layers_or_is_refused_by_name(kind: str) -> None:
    """None is passed on without a look: a newer PEFT's are refused."""
    fields = importlib.import_module("peft").PEFT_TYPE_TO_CONFIG_MAPPING[kind].__dataclass_fields__
    assert set(fields) >= FIELDS[kind]
    for field in set(fields) - FIELDS[kind]:
        method = make("peft", peft_type=kind, settings=[f"{field}=1"])
        rule = "it needs more|method.targets and|PEFT ignores it|recipe.steps decides"
        with pytest.raises(UsageError, match=f"method.settings: {field}=1: ({rule})"):
            method.attach(backbone(TOYS["t5"]))


def _adalora(model: Any, steps: int, call: bool = True) -> Any:
    """Train with AdaLoRA for some steps, and return the method. call: whether its hooks run."""
    settings = ["init_r=4", "target_r=2", "tinit=1", "tfinal=2", "deltaT=1"]
    method = make("peft", peft_type="ADALORA", settings=settings)
    torch.manual_seed(2)
    method.attach(model)
    method.start(model, Training(steps, iter(())))
    optimizer = torch.optim.SGD([p for _, p in trainable(model)], lr=0.3)
    for step in range(1, steps + 1):
        loss = model(**batch(TOYS["llama-gqa"])).loss
        (loss + method.penalty(model)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # as harness/training/step.py does it
        if call:
            method.after_step(model, step)
    return method


def _ranks(model: Any) -> list[int]:
    return [int((p != 0).sum()) for name, p in model.named_parameters() if ".lora_E." in name]


def test_adalora_takes_ranks_away_as_peft_s_own_model_does() -> None:
    toy = TOYS["llama-gqa"]
    model, never = backbone(toy), backbone(toy)
    _adalora(model, 8)
    _adalora(never, 8, call=False)
    assert sum(_ranks(never)) == 4 * 4
    assert sum(_ranks(model)) == 2 * 4
    assert len(set(_ranks(model))) > 1, "by importance, not the same everywhere"
    assert not any(p.grad is not None for p in model.parameters())
    theirs = _peft_s_adalora(toy, 8)
    for name, p in trainable(model):
        torch.testing.assert_close(p, theirs[f"base_model.model.{name}"], rtol=1e-4, atol=1e-6)


def _peft_s_adalora(toy: Any, steps: int) -> dict[str, torch.Tensor]:
    """The trained tensors of PEFT's own model after the loop of its documentation."""
    peft = importlib.import_module("peft")
    own = make("peft", peft_type="ADALORA")
    plain = backbone(toy)
    names = sorted(name for name, m in plain.named_modules() if name.endswith(("q_proj", "v_proj")))
    config = peft.AdaLoraConfig(
        target_modules=names, init_r=4, target_r=2, tinit=1, tfinal=2, deltaT=1, total_step=steps, task_type="CAUSAL_LM"
    )
    assert own.has_start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(2)
        wrapped = peft.get_peft_model(plain, config).eval()
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.3)
    for step in range(1, steps + 1):
        wrapped(**batch(toy)).loss.backward()  # with the orthogonality loss in it
        optimizer.step()
        wrapped.base_model.update_and_allocate(step)
        optimizer.zero_grad()
    return dict(wrapped.named_parameters())


def test_adalora_goes_on_from_what_it_remembers(tmp_path: Path) -> None:
    """Scores and mask go through a checkpoint's file."""
    model = backbone(TOYS["llama-gqa"])
    _adalora(model, 7)
    other = backbone(TOYS["llama-gqa"])
    _adalora(other, 4)
    tensor_file.write(tmp_path / "state", model.peft_added.get_extra_state())
    other.peft_added.set_extra_state(tensor_file.read(tmp_path / "state"))
    assert other.peft_added.pattern == model.peft_added.pattern is not None
    assert other.peft_added.allocator.exp_avg_ipt.keys() == model.peft_added.allocator.exp_avg_ipt.keys()


def test_adalora_without_a_step_to_take_ranks_away_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tinit=1 and tfinal=2 leave no step of recipe.steps=3"):
        _adalora(backbone(TOYS["llama-gqa"]), 3)


LOADED = [
    *(("bert-head", kind) for kind in sorted(RUNS)),
    ("gpt2", "LORA"),
    *(("bert-head", f"LORA {start}") for start in STARTS),
]


@pytest.mark.parametrize(("key", "kind"), LOADED)
def test_peft_loads_what_it_trained_here(kind: str, key: str, tmp_path: Path) -> None:
    kind, _, start = kind.partition(" ")
    toy, settings = TOYS[key], ["r=2", f"init_lora_weights={start}"] if start else SETTINGS.get(kind)
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
        ({"peft_type": "LOHAA"}, "LOHAA: PEFT .*, which is installed, has no such type. Did you mean LOHA"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING: not supported: it wraps the model's call"),
        ({"peft_type": "ADALORA", "settings": ["total_step=10"]}, "total_step=10: recipe.steps decides it"),
        ({"peft_type": "ADALORA", "settings": ["r=10"]}, "r=10: it needs more than the layers of ADALORA"),
        ({"peft_type": "LORA", "settings": ["alora_invocation_tokens=[7]"]}, "it needs more than the layers of LORA"),
        ({"peft_type": "LORA", "settings": ["init_lora_weights=1"]}, "init_lora_weights=1: not supported"),
        ({"peft_type": "LORA", "settings": ["use_dora=1"]}, "use_dora=1: LORA takes true or false, and takes any"),
        ({"peft_type": "LORA", "settings": ["layers_to_transform=[0]"]}, r"PEFT ignores it where targets are whole"),
        ({"peft_type": "LORA", "settings": ['rank_pattern={"q_prj": 3}']}, "'q_prj', which matches no target"),
        ({"peft_type": "LORA", "settings": ['exclude_modules=["no"]']}, "PEFT would not do as it says"),
        ({"peft_type": "LORA", "settings": ["r=99", "init_lora_weights=pissa"]}, "r=99: init_lora_weights=pissa has"),
        ({"peft_type": "OFT", "settings": ["revision=v3"]}, "revision=v3: method.targets and the objective decide it"),
        ({"settings": ["init_weights=pissa"]}, "init_weights=pissa: LOHA takes true or false"),
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


@pytest.mark.parametrize("wrong", [None, ['feedforward_modules=["lin2"]']])
def test_feed_forward_targets_that_peft_does_not_know_are_asked_for_by_the_name_of_our_field(
    wrong: list[str] | None,
) -> None:
    """Both settings of the message run, as a command line takes them."""
    toy = TOYS["distilbert-head"]
    with pytest.raises(UsageError, match="which targets lie in a feed-forward block") as caught:
        make("peft", peft_type="IA3", settings=wrong).attach(backbone(toy))
    words = re.findall(r"method\.settings=\['.*?'\]", str(caught.value))
    assert len(words) == 2
    for word in words:
        [settings] = parse([word]).block["method.settings"]
        attach("peft", backbone(toy), peft_type="IA3", settings=settings)
