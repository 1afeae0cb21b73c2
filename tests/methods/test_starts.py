"""Starts of LoRA by the weights, by inputs and by gradients: closed forms, PEFT, and what a file keeps of them."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import UsageError
from methods.attachment import starts
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.base import Training, dense, inserted
from methods.lora import LOOKING, LoRA, LowRank
from methods.peft_files.export import write_peft
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make

INITS = ("pissa", "milora", "olora", "eva", "corda", "lora_ga")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def losses(model: Any, toy: Any) -> Iterator[torch.Tensor]:
    """Losses of the toy's batch, each computed when it is asked for."""
    while True:
        yield model(**batch(toy)).loss


def started(key: str, init: str, name: str = "lora", precision: torch.dtype = torch.float32, **fields: Any) -> Any:
    """The toy with LoRA at this start, and the method."""
    model = backbone(TOYS[key]).to(precision)
    looks = {"start_batches": 2} if init in LOOKING else {}
    method = attach(name, model, init=init, **{"rank": 2, **looks, **fields})
    method.start(model, Training(10, losses(model, TOYS[key])))
    return model, method


def updates(model: Any, method: Any) -> list[tuple[Any, LowRank]]:
    return [(host, method.low_rank(delta)) for _, host, delta in inserted(model, method.name, torch.nn.Module)]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("key", ["t5", "llama-gqa", "roberta-masked", "gpt2"])
def test_the_start_is_the_backbone_and_not_kaiming_s(key: str, init: str, precision: torch.dtype) -> None:
    model, method = started(key, init, precision=precision)
    toy, plain = TOYS[key], backbone(TOYS[key]).to(precision)
    exact = precision is torch.float32
    torch.testing.assert_close(logits(model, toy), logits(plain, toy), rtol=1e-2, atol=1e-5 if exact else 0.15)
    usual = attach("lora", other := backbone(toy).to(precision), rank=2)
    for (_, mine), (_, theirs) in zip(updates(model, method), updates(other, usual), strict=True):
        assert not torch.allclose(mine.A, theirs.A)
        assert bool(mine.B.any()) == method.subtracted
        assert mine.A.dtype == torch.float32
    own, frozen = dict(plain.named_parameters()), dict(model.named_parameters())
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in own.items()), "no frozen weight is rewritten"
    assert not any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("family", ["lora", "dora"])
@pytest.mark.parametrize("init", INITS)
def test_what_was_trained_is_loaded_without_rows_and_merges(init: str, family: str, tmp_path: Path) -> None:
    toy = TOYS["gpt2"]
    model, method = started("gpt2", init, family)
    disturb(model)
    after = logits(model, toy)
    save_file(delta_state(model), tmp_path / "delta.safetensors")
    other = backbone(toy)
    attach(family, other, seed=99, init=init, rank=2)
    load_delta_state(other, load_file(tmp_path / "delta.safetensors"))
    assert torch.equal(logits(other, toy), after)
    for loaded in (model, other):
        method.merge(loaded)
        torch.testing.assert_close(logits(loaded, toy), after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("init", "share"), [("pissa", slice(None, 2)), ("milora", slice(-2, None))])
def test_svd_starts_are_their_singular_vectors(init: str, share: slice) -> None:
    model, method = started("llama-gqa", init, alpha=3.0)
    for host, update in updates(model, method):
        left, values, right = torch.linalg.svd(host.weight, full_matrices=False)
        expected = left[:, share] @ torch.diag(values[share]) @ right[share]
        torch.testing.assert_close(update.scale * update.B @ update.A, expected, **CLOSE)
        torch.testing.assert_close(update.A.norm(dim=1), update.B.norm(dim=0), **CLOSE)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_peft_starts_alike(init: str) -> None:
    """Each factor up to the sign of a vector, in PEFT's own layer."""
    peft = pytest.importorskip("peft")
    model, method = started("llama-gqa", init, alpha=3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"], init_lora_weights=init)
        theirs = peft.get_peft_model(backbone(TOYS["llama-gqa"]), config)
    layers = [m for m in theirs.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    for (_, mine), layer in zip(updates(model, method), layers, strict=True):
        torch.testing.assert_close(mine.A.abs(), layer.lora_A["default"].weight.abs(), **CLOSE)
        torch.testing.assert_close(mine.B.abs(), layer.lora_B["default"].weight.abs(), **CLOSE)


def _inputs(model: Any, toy: Any) -> dict[str, torch.Tensor]:
    """Module name -> its inputs [rows, d_in] for the toy's batch."""
    seen: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        if path.endswith(("q_proj", "v_proj")):
            module.register_forward_hook(
                lambda _, inputs, __, path=path: seen.__setitem__(path, inputs[0].detach().flatten(0, -2))
            )
    model(**batch(toy))
    return seen


def test_eva_takes_the_directions_of_most_variance() -> None:
    toy = TOYS["llama-gqa"]
    model, method = started("llama-gqa", "eva")
    seen = _inputs(backbone(toy), toy)
    for (_, update), x in zip(updates(model, method), seen.values(), strict=True):
        right = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)[2]
        torch.testing.assert_close((update.A @ right[:2].T).abs(), torch.eye(2), rtol=1e-3, atol=1e-3)
        assert not update.B.any()


def test_corda_is_peft_s() -> None:
    """The product of the factors for one row, where PEFT's scaling of the inputs cancels."""
    peft = pytest.importorskip("peft")
    toy = TOYS["llama-gqa"]
    row = batch(toy)["input_ids"][:1]
    model, theirs = backbone(toy), backbone(toy)
    method = attach("lora", model, init="corda", rank=2, alpha=2.0, start_batches=1)
    method.start(model, Training(10, iter(lambda: model(input_ids=row).logits.sum(), None)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        corda = importlib.import_module("peft.tuners.lora.corda")
        config = peft.LoraConfig(
            r=2, lora_alpha=2, target_modules=["q_proj", "v_proj"], init_lora_weights="corda",
            corda_config=peft.tuners.lora.config.CordaConfig(corda_method="ipm"),
        )  # fmt: skip
        corda.preprocess_corda(theirs, config, run_model=lambda: theirs(input_ids=row))
        wrapped = peft.get_peft_model(theirs, config)
    layers = [m for m in wrapped.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    for (_, mine), layer in zip(updates(model, method), layers, strict=True):
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        torch.testing.assert_close(mine.B @ mine.A, product, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("key", ["llama-gqa", "gpt2"])
def test_lora_ga_takes_the_singular_vectors_of_the_gradient(key: str) -> None:
    """Of the weight's own gradient, as autograd has it."""
    toy, targets = TOYS[key], ["ffn-in"]
    model, method = started(key, "lora_ga", targets=targets, start_batches=1)
    plain = backbone(toy).requires_grad_(True)
    plain(**batch(toy)).loss.backward()
    names = [name.rpartition(".")[0] for name, _ in model.named_parameters() if name.endswith(".lora.A")]
    for name, (_, update) in zip(names, updates(model, method), strict=True):
        gradient = plain.get_parameter(f"{name.removesuffix('.lora')}.weight").grad
        gradient = gradient.T if key == "gpt2" else gradient
        left, _, right = torch.linalg.svd(gradient, full_matrices=False)
        factor = len(gradient) ** 0.25 / starts.GAMMA**0.5
        torch.testing.assert_close(update.A.abs(), factor * right[:2].abs(), rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(update.B.abs(), factor * left[:, 2:4].abs(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("family", "rslora"), [("lora", False), ("lora", True), ("dora", False)])
def test_peft_loads_a_start_that_is_subtracted(family: str, rslora: bool, tmp_path: Path) -> None:
    """As one update of twice the rank on the untouched backbone."""
    peft = pytest.importorskip("peft")
    toy = TOYS["bert-head"]
    model, method = started("bert-head", "pissa", family, rslora=rslora)
    disturb(model)
    write_peft(model, method, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(backbone(toy), tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(**batch(toy)).logits, logits(model, toy), rtol=1e-5, atol=1e-5)


def test_gaussian_is_peft_s_spread() -> None:
    model = backbone(TOYS["llama-gqa"])
    method = attach("lora", model, init="gaussian", rank=8, targets=["all-linear"])
    drawn = torch.cat([update.A.detach().flatten() for _, update in updates(model, method)])
    assert abs(float(drawn.std(correction=0)) - 1 / 8) < 0.005
    assert not method.has_start


@pytest.mark.parametrize("init", ["pissa", "milora", "olora", "corda"])
@pytest.mark.parametrize("family", ["qlora", "qdora"])
def test_a_start_by_the_weights_is_refused_on_a_rounded_base(family: str, init: str) -> None:
    with pytest.raises(UsageError, match=rf"method.init={init}: .* they are rounded already"):
        make(family, init=init)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"rank": 17, "init": "pissa"}, "method.rank=17: the rank must be at most"),
        ({"rank": 5, "init": "lora_ga"}, "method.rank=5: init=lora_ga takes 2R of the 8 singular vectors"),
        ({"init": "pissa", "start_batches": 4}, "method.start_batches=4: only init=eva, corda, lora_ga look at"),
        ({"start_batches": 0}, "method.start_batches=0: a start looks at 1 batch or more"),
        ({"init": "piza"}, "must be one of kaiming.*Did you mean pissa"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with torch.device("meta"):
        model = backbone(TOYS["llama-gqa"])
    with pytest.raises(UsageError, match=rule) as caught:
        make("lora", **fields).attach(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["t5", "t5-gated", "bert-head", "gpt2", "llama-gqa"])
def test_all_linear_is_every_role(key: str) -> None:
    model, other = backbone(TOYS[key]), backbone(TOYS[key])
    attach("lora", model, targets=["all-linear"])
    roles = ["q", "k", "v", "o", "ffn-in", "ffn-out", *(["ffn-gate"] if key in ("t5-gated", "llama-gqa") else [])]
    attach("lora", other, targets=roles)
    assert delta_state(model).keys() == delta_state(other).keys()


def test_a_method_of_parts_starts_each() -> None:
    toy = TOYS["t5"]
    model = backbone(toy)
    method = make("combine", parts=["lora rank=2 init=pissa", "bitfit"])
    method.attach(model)
    assert method.has_start
    method.start(model, Training(10, losses(model, toy)))
    assert all(bool(update.B.any()) for _, update in updates(model, LoRA(rank=2)))
    assert dense(updates(model, LoRA(rank=2))[0][0]).shape == (24, 16)
