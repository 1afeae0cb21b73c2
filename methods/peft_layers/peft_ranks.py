"""AdaLoRA of the PEFT library (Zhang et al. 2023, arXiv 2303.10512), driven outside PEFT's own model.

After each optimiser step PEFT's allocator scores every rank by weights times gradients and masks the least important
ones. It wants the step's gradients, which the optimiser frees before that. So each trained tensor's gradient is noted
when it is complete.
"""

import importlib
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from harness.errors import UsageError
from methods.backbone.trainable_parameters import Delta

ADAPTER = "default"
_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Allocation(Delta):
    """All parameters that PEFT put into a model, under a second name, with the allocator of their ranks."""

    def __init__(self, model: nn.Module, config: Any, added: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.added = nn.ParameterList(added)
        self.config = config
        layer = importlib.import_module("peft.tuners.adalora.layer")
        self.allocator = layer.RankAllocator(model, config, ADAPTER)
        self.pattern: dict[str, list[bool]] | None = None
        self._gradients: dict[str, torch.Tensor] = {}
        for name, p in model.named_parameters():
            if ".lora_" in name and p.requires_grad:
                p.register_post_accumulate_grad_hook(partial(self._note, name))

    def _note(self, name: str, p: torch.Tensor) -> None:
        assert p.grad is not None, "the hook comes after it is accumulated"
        self._gradients[name] = p.grad

    def begin(self, steps: int) -> None:
        """Set the number of steps; 0 for an evaluation. Raise UsageError where they leave no step in which ranks are
        taken away.
        """
        if steps and self.config.tinit >= steps - self.config.tfinal:
            raise UsageError(
                f"method.settings: tinit={self.config.tinit} and tfinal={self.config.tfinal} leave no step of "
                f"recipe.steps={steps} in which AdaLoRA takes ranks away. Take smaller ones."
            )
        self.config.total_step = steps

    def after_step(self, model: nn.Module, step: int) -> None:
        """Score the ranks and mask the least important ones, after optimiser step `step` (from 1)."""
        trained = dict(model.named_parameters())
        for name, gradient in self._gradients.items():
            trained[name].grad = gradient
        self.config.rank_pattern = self.pattern
        of = {"peft_config": {ADAPTER: self.config}, "trainable_adapter_name": ADAPTER}
        theirs = SimpleNamespace(rankallocator=self.allocator, model=model, **of)
        importlib.import_module("peft").AdaLoraModel.update_and_allocate(theirs, step)
        self.pattern, self.config.rank_pattern = self.config.rank_pattern, None  # a file has all ranks, some at zero
        for name in self._gradients:
            trained[name].grad = None
        self._gradients.clear()

    def penalty(self, model: nn.Module) -> torch.Tensor:
        """Return PEFT's orthogonality loss, a scalar: the mean of ||A A^T - I|| and ||B^T B - I|| times its weight."""
        sides = [
            p @ p.T if ".lora_A." in name else p.T @ p
            for name, p in model.named_parameters()
            if ".lora_A." in name or ".lora_B." in name
        ]
        norms = [torch.linalg.norm(side - torch.eye(len(side), device=side.device)) for side in sides]
        weight: float = self.config.orth_reg_weight
        return weight * torch.stack(norms).mean()

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the allocator remembers of earlier steps, for a checkpoint."""
        return {"pattern": self.pattern, **{name: dict(getattr(self.allocator, name)) for name in _SCORES}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Set what `get_extra_state` returned."""
        self.pattern = state["pattern"]
        for name in _SCORES:
            setattr(self.allocator, name, {key: t.to(self.added[0].device) for key, t in state[name].items()})
