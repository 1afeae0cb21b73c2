"""Any configuration of the installed PEFT library, by its type and fields (`pip install peft`).

`peft_type` is a name of peft.PeftType (OFT, LOHA, LOKR, HRA, SHIRA, C3A, ...); `settings` are fields of its
configuration as `key=value` words, values as in JSON (`[r=4, oft_block_size=0]`). Targets are given to it as
full module names, found as for our own methods. Parameters: whatever PEFT trains, which has no closed form here.
PEFT puts layers of its own around the targets, so their weights are called `….base_layer.weight` until they are
merged. Prompt types, which wrap the model's call, are refused (they are methods of their own here), and PEFT
itself refuses types whose layers share state.
"""

import importlib
import json
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.errors import NotApplicable, UsageError, near
from methods.anatomy import Part, linears
from methods.base import Delta, Method
from methods.shape import Shape
from methods.tied import untie
from methods.values import Names


class Added(Delta):
    """Everything that PEFT put into a model, under a second name, so that it does not count as the backbone's."""

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
        found = linears(model, self.targets)
        if part := next((path for path, host in found.items() if isinstance(host, Part)), None):
            raise NotApplicable(f"method peft: {part} is part of a fused or transposed linear; use its module's name")
        if hasattr(model, "peft_added"):
            raise UsageError("a second peft configuration on one model: two methods own the same places")
        own = {id(p) for p in model.parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peft.inject_adapter_in_model(self._config(peft, sorted(found)), model)
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
        kinds = peft.PEFT_TYPE_TO_CONFIG_MAPPING
        known = {kind.value: cls for kind, cls in kinds.items() if not issubclass(cls, peft.PromptLearningConfig)}
        if self.peft_type not in known:
            raise UsageError(f"method.peft_type={self.peft_type}: not here.{near(self.peft_type, known)}")
        fields = dict(map(_setting, self.settings or ()))
        cls = known[self.peft_type]
        for field in fields:
            if field not in cls.__dataclass_fields__:
                hint = near(field, cls.__dataclass_fields__)
                raise UsageError(f"method.settings: {self.peft_type} has no field {field!r}.{hint}")
        return cls(target_modules=targets, **fields)

    def merge(self, model: Any) -> None:
        for path, layer in _layers(model).items():
            untie(model, layer.get_base_layer())
            try:
                layer.merge()
            except (NotImplementedError, AttributeError) as error:
                raise NotApplicable(f"method peft: PEFT cannot merge {self.peft_type}") from error
            host, _, child = path.rpartition(".")
            setattr(model.get_submodule(host), child, layer.get_base_layer())
        if hasattr(model, "peft_added"):
            del model.peft_added

    def state(self, model: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What PEFT itself would save: tensors by name, and the configuration."""
        module = importlib.import_module("peft.utils.save_and_load")
        tensors = module.get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
        return tensors, model.peft_config["default"].to_dict()

    def closed_form(self, shape: Shape) -> int:
        raise NotApplicable("method peft has no closed form: what it trains is counted")


def _layers(model: nn.Module) -> dict[str, Any]:
    """dotted name -> layer that PEFT put around a target."""
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


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optional packages that it looks for
            return importlib.import_module("peft")
    except ImportError as error:
        raise NotApplicable("method peft needs the PEFT library: pip install peft") from error
