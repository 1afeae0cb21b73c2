"""PEFT's layers put around the linears of a backbone: with its weights, or without them in a plan.

A plan attaches on the meta device, where nothing can be decomposed or counted. So a start by the weights is left out
there, and layers that draw places by the weight's shape see a weight of that shape without content.
"""

import importlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from harness.errors import NotApplicable, UsageError
from methods.backbone.trainable_parameters import Delta
from methods.peft_layers.peft_ranks import ADAPTER, Allocation
from methods.peft_layers.peft_settings import START, as_written, configuration
from methods.peft_layers.peft_types import FROM_WEIGHTS, REWRITING

IGNORED = re.compile(r"ignored|not used|no modules were excluded|did not match|no effect|will not (work|affect)")
"""How PEFT's warnings say that a setting does nothing."""


class Added(Delta):
    """All parameters that PEFT put into a model, under a second name, so that they do not count as the backbone's."""

    def __init__(self, added: list[nn.Parameter]) -> None:
        super().__init__()
        self.added = nn.ParameterList(added)


def put(model: nn.Module, kind: str, words: tuple[str, ...], hosts: Mapping[str, nn.Module]) -> None:
    """Put layers of a PEFT type around `hosts` (by dotted name), with its settings `words`. Raise UsageError where PEFT
    refuses, and where it would do something else than is written.
    """
    peft = library()
    own = {id(p) for p in model.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            config = configuration(peft, kind, words, sorted(hosts))
            _check_shared(model, config, hosts)
            with _without_content(hosts) if kind == "SHIRA" else _nothing():
                peft.inject_adapter_in_model(_planned(config, hosts), model)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _refusal(kind, error, hosts) from error
    if any(p.is_meta for p in model.parameters()):
        for layer in layers(model).values():
            layer.to("meta")
    for warning in caught:
        if words and IGNORED.search(str(warning.message)):
            reason = str(warning.message).splitlines()[0].rstrip(".")
            raise UsageError(f"method.settings: PEFT would not do as it says ({reason}).")
    _check_ranks(model, config)
    for p in trained:
        p.requires_grad_(True)
    for name, p in model.named_parameters():  # what PEFT freezes by the weights' device
        if ".ranknum." in name or (getattr(config, START, None) == "mica" and ".lora_B." in name):
            p.requires_grad_(False)
    added = [p for p in model.parameters() if id(p) not in own]
    for p in added:  # as PEFT's own loader does it
        p.data = p.data.float() if p.dtype in (torch.float16, torch.bfloat16) else p.data
    model.add_module("peft_added", Allocation(model, config, added) if kind == "ADALORA" else Added(added))


def _refusal(kind: str, error: Exception, hosts: Mapping[str, nn.Module]) -> UsageError:
    """Return what to say where PEFT refuses: by the names of our settings where it asks for one of its own."""
    reason = str(error).splitlines()[0].rstrip(".")
    if "feedforward_modules" in reason:  # it is not known for every architecture, and PEFT wants names as in `hosts`
        example = json.dumps(sorted(hosts)[-1:])
        return UsageError(
            f"method.peft_type={kind}: PEFT has to know which targets lie in a feed-forward block of this model. Give "
            "method.settings=['feedforward_modules=[]'] where none does, else the whole names of those that do, as in "
            f"method.settings=['feedforward_modules={example}']."
        )
    return UsageError(f"method.peft_type={kind}: PEFT refuses ({reason}).")


def library() -> Any:
    """Return the PEFT library. Raise NotApplicable where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optional packages that it looks for
            return importlib.import_module("peft")
    except ImportError as error:
        raise NotApplicable("method peft needs the PEFT library: pip install peft") from error


def layers(model: nn.Module) -> dict[str, Any]:
    """Return dotted name -> layer that PEFT put around a target."""
    kind = library().tuners.tuners_utils.BaseTunerLayer
    return {path: module for path, module in model.named_modules() if isinstance(module, kind)}


def _planned(config: Any, hosts: Mapping[str, nn.Module]) -> Any:
    """Return the configuration, without a start by the weights where there are none."""
    weightless = any(host.get_parameter("weight").is_meta for host in hosts.values())
    return replace(config, **{START: True}) if weightless and _start(config) in FROM_WEIGHTS else config


def _start(config: Any) -> str:
    return as_written(getattr(config, START, True))


def _check_shared(model: nn.Module, config: Any, hosts: Mapping[str, nn.Module]) -> None:
    """Raise NotApplicable where a start would rewrite a weight that another module shares."""
    if _start(config) not in REWRITING:
        return
    for path, host in hosts.items():
        weight = host.get_parameter("weight")
        if sum(p is weight for module in model.modules() for p in module._parameters.values()) > 1:
            raise NotApplicable(
                f"method.settings: {START}={_start(config)} rewrites the weight of {path}, which another module "
                "shares. Take other targets."
            )


def _check_ranks(model: nn.Module, config: Any) -> None:
    """Raise UsageError for a rank above the number of singular vectors, of which PEFT would take fewer in silence."""
    if _start(config) not in FROM_WEIGHTS:
        return
    for path, layer in layers(model).items():
        limit = min(layer.in_features, layer.out_features)
        if layer.r[ADAPTER] > limit:
            raise UsageError(
                f"method.settings: r={layer.r[ADAPTER]}: {START}={_start(config)} has at most {limit} vectors in {path}"
            )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _without_content(hosts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Give weights without memory a place that nobody reads, while PEFT draws places of their shape."""
    own = {path: host.get_parameter("weight") for path, host in hosts.items() if host.get_parameter("weight").is_meta}
    for path, weight in own.items():
        hosts[path]._parameters["weight"] = nn.Parameter(torch.empty_like(weight, device="cpu"), requires_grad=False)
    try:
        with torch.device("cpu") if own else _nothing():
            yield
    finally:
        for path, weight in own.items():
            hosts[path]._parameters["weight"] = weight
