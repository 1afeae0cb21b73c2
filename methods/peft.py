"""Any configuration of the installed PEFT library, by its type and fields (`pip install peft`).

`peft_type` is a name of peft.PeftType (OFT, LOHA, LOKR, HRA, SHIRA, C3A, ...); `settings` are fields of its
configuration as `key=value` words, values as in JSON (`[r=4, oft_block_size=0]`). Targets are given to it as
full module names, searched as for our own methods. Parameters: whatever PEFT trains, which has no closed form here.
PEFT puts layers of its own around the targets, so their weights are called `….base_layer.weight` until they are
merged. What needs more than its layers in a model (a pass over data, a call after each step, a term of the loss, frozen
weights rewritten at the start) is refused by name. A type, a start or a field of LoRA that is not known here is refused
too, so that nothing runs under a wrong name. PEFT itself refuses types whose layers share state.
"""

import importlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods.base import Delta, Method, Names, NotApplicable, Part, Shape, UsageError, linears, near, untie

TYPES = frozenset({
    "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "GLORA", "GRALORA", "HIRA", "HRA", "IA3", "LILY", "LOHA",
    "LOKR", "LORA", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "RANDLORA", "ROAD", "SUPERTUNING", "WAVEFT",
})  # fmt: skip
"""Types that are no more than layers in the places of others."""
REASONS = {
    "ADALORA": "it needs a call of update_and_allocate after every step, and a loss term of its own",
    "ADAMSS": "PEFT reads the weights to choose its size, so no plan can know the size",
    "ADAPTION_PROMPT": "it wraps the attention of LLaMA, not linears",
    "LN_TUNING": "it changes normalisations, not linears; take method=layernorm",
    "POLY": "it wants the ids of several tasks with every batch",
    "SHADOW": "it wraps the call of the whole model",
    "SHIRA": "PEFT reads the weights to choose its size, so no plan can know the size",
    "TRAINABLE_TOKENS": "its places are rows of the embedding, not linears",
    "XLORA": "it mixes adapters that are trained already",
}
SHARED = frozenset(("FROD", "PVERA", "TINYLORA", "UNILORA", "VBLORA", "VERA"))
LORA_FIELDS = frozenset({
    "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "lora_bias", "bias", "init_lora_weights",
    "rank_pattern", "alpha_pattern", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out",
})  # fmt: skip
STARTS = (True, False, "gaussian", "orthogonal")
"""Of `init_lora_weights`: those that neither look at data nor rewrite the frozen weights."""


class Added(Delta):
    """All parameters that PEFT put into a model, under a second name, so that they do not count as the backbone's."""

    def __init__(self, added: list[nn.Parameter]) -> None:
        super().__init__()
        self.added = nn.ParameterList(added)


@dataclass(frozen=True)
class Peft(Method):
    """A method of the PEFT library."""

    name: ClassVar[str] = "peft"
    mergeable: ClassVar[bool] = True

    peft_type: str = "LOHA"
    settings: tuple[str, ...] | None = None
    targets: Names = ("q", "v")

    def attach(self, model: nn.Module) -> None:
        peft = _library()
        layers = linears(model, self.targets)
        if part := next((path for path, host in layers.items() if isinstance(host, Part) and host.label), None):
            name = part.rpartition(":")[0].rpartition(".")[2]
            raise NotApplicable(
                f"method peft: {part} is rows of a fused linear. Take method.targets=[{name}], all of it."
            )
        if hasattr(model, "peft_added"):
            raise UsageError("a second peft configuration on one model: two methods own the same places")
        own = {id(p) for p in model.parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peft.inject_adapter_in_model(self._config(peft, sorted(layers)), model)
        except (ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"method.peft_type={self.peft_type}: PEFT refuses ({reason})") from error
        for p in trained:
            p.requires_grad_(True)
        added = [p for p in model.parameters() if id(p) not in own]
        for p in added:  # as PEFT's own loader does it
            p.data = p.data.float() if p.dtype in (torch.float16, torch.bfloat16) else p.data
        model.add_module("peft_added", Added(added))

    def _config(self, peft: Any, targets: list[str]) -> Any:
        kinds = {kind.value: cls for kind, cls in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        known = {kind: cls for kind, cls in kinds.items() if kind in TYPES}
        if self.peft_type not in known:
            raise UsageError(f"method.peft_type={self.peft_type}: {self._why_not(peft, kinds)}")
        fields = dict(map(_setting, self.settings or ()))
        cls = known[self.peft_type]
        for field, value in fields.items():
            if field not in cls.__dataclass_fields__:
                hint = near(field, cls.__dataclass_fields__)
                raise UsageError(f"method.settings: {self.peft_type} has no field {field!r}.{hint}")
            self._check_setting(field, value)
        return cls(target_modules=targets, **fields)

    def _why_not(self, peft: Any, kinds: Mapping[str, Any]) -> str:
        """Return the reason why a type does not run here."""
        if self.peft_type not in kinds:
            return f"the installed PEFT has no such type.{near(self.peft_type, TYPES)}"
        if issubclass(kinds[self.peft_type], peft.PromptLearningConfig):
            return "not supported: it wraps the model's call; prompt, prefix and ptuning are methods of their own."
        if self.peft_type in SHARED:
            return "not supported: PEFT refuses to insert layers that share state."
        why = REASONS.get(self.peft_type, "deltabench does not know what it needs besides its layers")
        return f"not supported: {why}."

    def _check_setting(self, field: str, value: Any) -> None:
        """Raise UsageError for a field, or a value of it, that asks for more than layers."""
        setting = f"method.settings: {field}={_as_written(value)}"
        if field in ("target_modules", "modules_to_save", "inference_mode", "peft_type", "task_type"):
            raise UsageError(f"{setting}: method.targets and the objective decide it; leave it out.")
        if self.peft_type != "LORA":
            return
        if field not in LORA_FIELDS:
            known = ", ".join(sorted(LORA_FIELDS))
            raise UsageError(
                f"{setting}: it needs more than LoRA's layers, which is not supported. Fields are {known}."
            )
        if field == "init_lora_weights" and not _among(value, STARTS):
            raise UsageError(
                f"{setting}: such a start looks at data or rewrites the frozen weights, which is not supported. "
                f"Take {', '.join(map(_as_written, STARTS))}."
            )

    def merge(self, model: Any) -> None:
        for path, layer in _layers(model).items():
            untie(model, layer.get_base_layer())
            try:
                layer.merge()
            except (NotImplementedError, AttributeError, ValueError, RuntimeError) as error:
                reason = str(error).splitlines()[0] if str(error) else "it has no merge"
                raise NotApplicable(f"method peft: PEFT cannot merge {self.peft_type} ({reason})") from error
            host, _, child = path.rpartition(".")
            setattr(model.get_submodule(host), child, layer.get_base_layer())
        if hasattr(model, "peft_added"):
            del model.peft_added

    def state(self, model: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return what PEFT itself would save: tensors by name, each of its parameter's shape, and the configuration."""
        module = importlib.import_module("peft.utils.save_and_load")
        tensors = module.get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
        config = model.peft_config["default"].to_dict()
        if config.get("feedforward_modules") is not None:  # PEFT loads only those that are among the targets
            inner, targets = tuple(config["feedforward_modules"]), config["target_modules"]
            config["feedforward_modules"] = sorted(target for target in targets if target.endswith(inner))
        return tensors, config

    def closed_form(self, shape: Shape) -> int:
        raise NotApplicable("method peft has no closed form: what it trains is counted")


def _layers(model: nn.Module) -> dict[str, Any]:
    """Return dotted name -> layer that PEFT put around a target."""
    kind = _library().tuners.tuners_utils.BaseTunerLayer
    return {path: module for path, module in model.named_modules() if isinstance(module, kind)}


def _setting(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    if not (key and equals):
        raise UsageError(f"method.settings: {word!r} must be field=value")
    try:
        return key.strip(), json.loads(text)
    except ValueError:
        return key.strip(), text.strip()


def _among(value: Any, known: Sequence[Any]) -> bool:
    """Return whether `value` is one of `known`, of the same type: 1 is not true."""
    return any(type(value) is type(other) and value == other for other in known)


def _as_written(value: Any) -> str:
    """Return the value as one writes it on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optional packages that it looks for
            return importlib.import_module("peft")
    except ImportError as error:
        raise NotApplicable("method peft needs the PEFT library: pip install peft") from error
