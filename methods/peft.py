"""Any configuration of the installed PEFT library, by its type and fields (`pip install peft`).

`peft_type` is a name of peft.PeftType (OFT, LOHA, LOKR, HRA, SHIRA, C3A, ...); `settings` are fields of its
configuration as `key=value` words, values as in JSON (`[r=4, oft_block_size=0]`). Targets are given to it as
full module names, searched as for our own methods. Parameters: whatever PEFT trains, which has no closed form here.
PEFT puts layers of its own around the targets, so their weights are called `….base_layer.weight` until they are
merged. `deltabench list fields peft` names the types and starts that run, and the reason why each other one is refused:
what needs a pass over data, another call of the model or state that layers share. Nothing runs under a wrong name: a
type, a start or a field that is not known here is refused too, and so is a setting that PEFT would ignore.
"""

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods.base import (
    Method,
    Names,
    NotApplicable,
    Part,
    Shape,
    Training,
    UsageError,
    linears,
    peft_insertion,
    untie,
    with_whole,
)


@dataclass(frozen=True)
class Peft(Method):
    """A method of the PEFT library."""

    name: ClassVar[str] = "peft"
    mergeable: ClassVar[bool] = True
    values: ClassVar[str] = "methods.peft_layers.peft_types:VALUES"

    peft_type: str = "LOHA"
    settings: tuple[str, ...] | None = None
    targets: Names = ("q", "v")

    def attach(self, model: nn.Module) -> None:
        peft_insertion.library()
        hosts = linears(model, self.targets, whole=True)
        if part := next((path for path, host in hosts.items() if isinstance(host, Part) and host.label), None):
            targets = ",".join(with_whole(self.targets, part.rpartition(":")[0].rpartition(".")[2]))
            raise NotApplicable(
                f"method peft: {part} is rows of a fused linear. Take method.targets=[{targets}], with all of it."
            )
        if hasattr(model, "peft_added"):
            raise UsageError("a second peft configuration on one model: two methods own the same places")
        whole = {path: model.get_submodule(path) for path in hosts}
        peft_insertion.put(model, self.peft_type, self.settings or (), whole)

    @property
    def has_start(self) -> bool:
        return self.peft_type == "ADALORA"

    def start(self, model: Any, training: Training) -> None:
        if self.has_start:
            model.peft_added.begin(training.steps)

    def penalty(self, model: Any) -> torch.Tensor | None:
        """Return AdaLoRA's orthogonality loss, a scalar; None for other types."""
        made: torch.Tensor | None = model.peft_added.penalty(model) if self.has_start else None
        return made

    def after_step(self, model: Any, step: int) -> None:
        if self.has_start:
            model.peft_added.after_step(model, step)

    def merge(self, model: Any) -> None:
        for path, layer in peft_insertion.layers(model).items():
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
