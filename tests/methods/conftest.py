"""What a test of methods needs: a backbone as the harness hands it over, a batch, and the finder of subjects."""

import copy
from functools import cache, lru_cache
from typing import Any

import pytest
import torch
from torch import nn

from harness import assets
from harness.config.schema import MethodConfig
from harness.errors import NotApplicable
from harness.experiments.grids.parent_order import ANY
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.backbone.trainable_parameters import trainable
from methods.base import Method, Parent, freeze
from tests.methods.toys import PAD, TOYS, Toy, V, pairs, parameters

__all__ = ["PAD", "TOYS", "Toy", "V"]
FEW = {"fit_steps": 10}
"""Fields whose defaults cost seconds at each attachment and that no law depends on."""
NAMES = sorted(path.stem for path in (assets.conf() / "method").glob("*.yaml"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every method in conf/method/ and every toy, wherever a test asks for `name` or `toy`.

    A module's USUAL names the toys of a usual run, where it needs fewer than one of each class. The scope puts the laws
    of one pair behind each other, so that those that only look share a model (`attached`, `disturbed`).
    """
    slow = metafunc.config.getoption("markexpr") != "not slow"  # else thousands were made only to be deselected
    usual = getattr(metafunc.module, "USUAL", None)
    if {"name", "toy"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("name", "toy"), pairs(NAMES, parameters(slow=slow, usual=usual), slow), scope="module")
    elif "name" in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES, scope="module")
    elif "toy" in metafunc.fixturenames:
        metafunc.parametrize("toy", parameters(slow=slow, usual=usual), scope="module")
    if "generator" in metafunc.fixturenames:
        generators = parameters(lambda toy: toy.kind in ("seq2seq", "causal"), slow)
        metafunc.parametrize("generator", generators, scope="module")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def backbone(toy: Toy, attention: str | None = None) -> Any:
    """A frozen backbone in evaluation mode whose head, if any, trains: what the harness hands to a method."""
    model = copy.deepcopy(_built(toy, torch.get_default_device()))
    model.set_attn_implementation(attention or toy.attention[0])
    return model


@cache
def _built(toy: Toy, _: torch.device) -> Any:
    torch.manual_seed(1)
    model = toy.build().eval()
    with torch.no_grad():
        for p in (p for p in model.parameters() if p.ndim == 1):  # else biases at 0 and norms at 1 hide mistakes
            p.add_(torch.randn_like(p), alpha=0.2)
    freeze(model)
    for head in toy.heads:
        model.get_submodule(head).requires_grad_(True)
    return model


def make(name: str, **fields: Any) -> Method:
    """Return the method at its defaults, except that what it fits to its parents is fitted in few steps."""
    values = methods.resolve(name, fields)
    return methods.make(MethodConfig(name, {**values, **{field: FEW[field] for field in FEW if field in values}}))


def attach(name: str, model: nn.Module, seed: int = 2, **fields: Any) -> Method:
    """The method attached; the test is skipped, with the reason, where the pair cannot be."""
    method = make(name, **fields)
    parents = _parents(name, model)
    torch.manual_seed(seed)
    try:
        method.attach(model)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    if parents:
        method.inherit(model, parents)
    return method


@lru_cache(maxsize=8)
def attached(name: str, toy: Toy) -> tuple[Any, Method]:
    """A backbone with the method attached, for laws that only look at it; skipped as in `attach`."""
    model = backbone(toy)
    return model, attach(name, model)


@lru_cache(maxsize=8)
def disturbed(name: str, toy: Toy) -> Any:
    """A backbone whose attached method has been disturbed, for laws that only look at it."""
    model = backbone(toy)
    attach(name, model)
    disturb(model)
    return model


def _parents(name: str, model: Any) -> dict[str, Parent]:
    """role -> what a parent cell on the same backbone could have left; nothing on the meta device."""
    entry, states = methods.find(name), {}
    parent, several = entry.parents.replace(ANY, "full"), 1 if entry.single_parent else 2
    for seed in range(several if parent and not next(model.parameters()).is_meta else 0):
        other = copy.deepcopy(model)
        torch.manual_seed(seed)
        make(parent).attach(other)
        disturb(other)
        states[f"task{seed}"] = Parent(MethodConfig(parent, methods.resolve(parent, {})), delta_state(other))
    return states


@torch.no_grad()
def disturb(model: nn.Module, sd: float = 0.05) -> None:
    """Move everything that trains, so that no law holds only because deltas start at zero."""
    torch.manual_seed(3)
    for _, p in trainable(model):
        p.add_(torch.randn_like(p), alpha=sd)


def batch(toy: Toy) -> dict[str, torch.Tensor]:
    """Three rows of 9, 6 and 4 tokens, padded on the right, with labels."""
    torch.manual_seed(4)
    ids = torch.randint(3, V, (3, 9))
    mask = torch.ones_like(ids)
    for row, length in enumerate((9, 6, 4)):
        ids[row, length:], mask[row, length:] = PAD, 0
    labels = {
        "seq2seq": torch.randint(3, V, (3, 4)),
        "classifier": torch.tensor([0, 1, 2]),
        "masked": ids.masked_fill(mask == 0, -100),
        "causal": ids.masked_fill(mask == 0, -100),
    }[toy.kind]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def logits(model: Any, toy: Toy) -> torch.Tensor:
    """Outputs at positions that are not padding."""
    inputs = batch(toy)
    with torch.no_grad():
        out = model(**inputs).logits
    return out[inputs["attention_mask"].bool()] if toy.kind in ("masked", "causal") else out
