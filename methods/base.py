"""The contract of a method, and all that a method's file needs beside torch, under one import.

methods/backbone/ knows what a model consists of, and methods/attachment/ how a delta is attached to it. What a method
needs of the two is exported here too.

Shape alphabet, first in every tensor argument of this project: B batch, T tokens, D model width, F
feed-forward width, H heads, K head width, L layers, R rank or bottleneck, P prompt or prefix length, V
vocabulary.

`requires_grad` is the only record of what trains: the optimiser, the parameter count and the saved file read
it.

The fields of methods, where a method's own page says no more:

- rank: R, the inner width of an update of low rank.
- bottleneck: R, the inner width of an adapter.
- length: P, the number of soft tokens, or of prefix positions in each attention module.
- dimension: the number of coordinates that train.
- hidden: the inner width of the network that makes the prompt or the prefix while it trains.
- reparametrize: whether such a network makes the prefix while it trains.
- targets, magnitude_targets: the matrices that change, by role (q, k, v, o, ffn-in, ffn-out …).
- activation: the function between the two matrices of an adapter.
- cross: whether there is one at cross-attention, too.
- beside: the sublayers that an adapter stands beside.
- scale: the constant factor of what is added.
- division: n, the number of Kronecker products in a sum.
- init: where soft tokens start: at words of the vocabulary, at random numbers, or at the words of `text`.
- encoder: the network that makes the prompt from its inputs.
- parts: the methods, each with its fields, as in [lora rank=4,bitfit].
- bits: the bits of a number of the frozen base.
- fit_steps: the steps in which the space of prompts is fitted.
- first_share: the share of the steps in which all weights train, before some are chosen.
- sparsity_penalty: the weight of the penalty that closes gates.
- gate_start: log alpha of every gate at the start.
- d_initial: the start of the scale d.
- projection_seed: the seed from which the fixed random matrices are drawn.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.config.values import Names, Pairs, Parts, Settings, Texts
from harness.errors import NotApplicable, UsageError, near
from harness.precision import computing, uncast
from harness.prompt_width import prompt_width
from methods.attachment import starts
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.attachment.hooks import backbone_modules, copy_outputs, insert, insert_before, inserted, remove
from methods.attachment.kronecker import Kronecker, Rule
from methods.attachment.parametrization import Overlay, dead_on_key_biases, overlay, overlays, write
from methods.attachment.parts import Switch, attach_parts
from methods.attachment.prefix_attention import accept_prefixes
from methods.attachment.rescaling import rescaled
from methods.attachment.row_lengths import RowLengths
from methods.attachment.soft_prompt import Prompt, plug
from methods.attachment.tied_weights import is_separate, separate, untie
from methods.attachment.weight_update import Dropping, Rewriting, Update, fold
from methods.backbone.linears import Linear, Part, dense
from methods.backbone.quantisation import BITS, quantise
from methods.backbone.roles import (
    after,
    before,
    dead_key_biases,
    depth,
    family,
    find,
    find_stack,
    has_family,
    heads,
    in_decoder,
    is_bias,
    linears,
    readers,
)
from methods.backbone.sizes import Place, Shape
from methods.backbone.sizes import shape as shape_of
from methods.backbone.targets import LINEAR_ROLES, with_whole
from methods.backbone.trainable_parameters import Delta, freeze, parameter, trainable
from methods.peft_layers import peft_insertion

__all__ = [
    "BITS",
    "LINEAR_ROLES",
    "Delta",
    "Dropping",
    "Group",
    "Kronecker",
    "Linear",
    "Method",
    "MethodConfig",
    "Names",
    "NotApplicable",
    "OnWeights",
    "Overlay",
    "Pairs",
    "Parent",
    "Part",
    "Parts",
    "Place",
    "Prompt",
    "Rewriting",
    "RowLengths",
    "Rule",
    "Settings",
    "Shape",
    "Stage",
    "Switch",
    "Texts",
    "Training",
    "Update",
    "UsageError",
    "accept_prefixes",
    "after",
    "attach_parts",
    "backbone_modules",
    "before",
    "computing",
    "copy_outputs",
    "dead_key_biases",
    "dead_on_key_biases",
    "delta_state",
    "dense",
    "depth",
    "family",
    "find",
    "find_stack",
    "fold",
    "freeze",
    "has_family",
    "heads",
    "in_decoder",
    "insert",
    "insert_before",
    "inserted",
    "is_bias",
    "is_separate",
    "linears",
    "load_delta_state",
    "near",
    "overlay",
    "overlays",
    "parameter",
    "peft_insertion",
    "plug",
    "prompt_width",
    "quantise",
    "readers",
    "remove",
    "rescaled",
    "separate",
    "shape_of",
    "starts",
    "trainable",
    "uncast",
    "untie",
    "with_whole",
    "write",
]


def _nothing(_: nn.Module) -> None:
    pass


def _none(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Stage:
    """One run of a fresh optimiser, with a schedule of its own, over `share` of the recipe's steps.

    begin(model) is called before its first step. rests(name of a trained tensor): whether that tensor stays fixed
    during the stage; it keeps its place in the delta (its count, its file). Only the last stage's evaluations are the
    method's. Where training resumes from a checkpoint, a new model begins every stage so far once more before its
    tensors are restored.
    """

    share: float = 1.0
    begin: Callable[[nn.Module], None] = _nothing
    rests: Callable[[str], bool] = _none


@dataclass(frozen=True)
class Group:
    """Trained tensors that have a learning rate or a weight decay of their own.

    trains(name of a trained tensor): whether the tensor belongs to the group. rate, decay: factors on the recipe's
    learning rate (above 0) and on its weight decay (0 or more).
    """

    trains: Callable[[str], bool]
    rate: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.rate < math.inf and 0 <= self.decay < math.inf):
            raise UsageError(f"a group of tensors has rate={self.rate} above 0 and decay={self.decay} of at least 0")

    @classmethod
    def matching(cls, pattern: str, rate: float = 1.0, decay: float = 1.0) -> "Group":
        """Return the group of the tensors whose whole dotted name a regular expression matches."""
        return cls(partial(_matches, re.compile(pattern)), rate, decay)


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(name) is not None


@dataclass(frozen=True)
class Parent:
    """A finished cell that another one builds on: its method with all fields, and its `delta_state`.

    state: trained tensors by parameter name, each of its parameter's shape. parents: those that it builds on.
    """

    method: MethodConfig
    state: Mapping[str, torch.Tensor]
    parents: "Mapping[str, Parent]" = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """What a method may use of its training before the first step.

    steps: the optimiser steps of all stages. losses: the losses (scalars) of the batches of the first steps, then of
    the following ones, without end. Each is computed when it is asked for, in evaluation mode, and has a gradient
    unless the method turns gradients off.
    """

    steps: int
    losses: Iterator[torch.Tensor]


@dataclass(frozen=True)
class Method:
    """A delta-tuning method: flat hyperparameters and what they do to a frozen backbone.

    Subclasses are frozen dataclasses with a `name`. Their fields are the YAML's fields, and their `__post_init__`
    checks ranges. derived: field -> its value where it is null, as arithmetic over the other fields. parents: the
    method whose finished deltas this one builds on; "*" for any. single_parent: it builds on exactly one, so that
    lists in its description are choices, each of which is a cell of its own. evaluation_only: nothing of it trains,
    so that its cells have recipe.steps=0. only_head: nothing of it trains but the head that an objective may put on
    the backbone. values: "module:NAME" of a table `method.field=value` -> what it does, for a field whose values
    are another library's; `deltabench list fields` prints it, so its module does not import torch.
    """

    name: ClassVar[str]
    derived: ClassVar[Mapping[str, str]] = {}
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = True
    parents: ClassVar[str] = ""
    single_parent: ClassVar[bool] = False
    evaluation_only: ClassVar[bool] = False
    only_head: ClassVar[bool] = False
    values: ClassVar[str] = ""

    def attach(self, model: nn.Module) -> None:
        """Insert modules into the frozen backbone and/or set `requires_grad`.

        Raise UsageError or NotApplicable where that cannot be. Draw from torch's global generator only, and work on the
        meta device too.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold the delta into the backbone; idempotent. Raise NotApplicable where the method cannot be merged."""
        raise NotApplicable(f"method {self.name} cannot be merged: it adds computation that no weight holds")

    def inherit(self, model: nn.Module, parents: Mapping[str, Parent]) -> None:
        """Use the cells that this one builds on, by role; called after `attach`. Raise UsageError for tensors that do
        not fit.
        """

    def read(self, model: nn.Module, encode: Callable[[str], Sequence[int]]) -> None:
        """Use a start that is text; called after `attach`. encode: text -> token ids, without special tokens."""

    @property
    def has_start(self) -> bool:
        """Return whether `start` does anything."""
        return False

    def start(self, model: nn.Module, training: Training) -> None:
        """Set the trained tensors by the weights, by train rows or by the number of steps, before the first step.

        It is called after `attach`, `inherit` and `read` in a cell that trains, also for no steps, and once more where
        training resumes. A finished cell is loaded without it, so what it sets outside the trained tensors goes into
        `Delta.plain`.
        """

    def closed_form(self, shape: Shape) -> int:
        """Return the number of delta parameters from the backbone's sizes alone, as the paper counts them."""
        raise NotImplementedError

    def tokens_added(self) -> int:
        """Return the number of positions that the method adds to the (encoder's) input."""
        return 0

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """Return an extra loss term, a scalar, or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Change the model after each optimiser step (numbered from 1).

        What changes here is saved in checkpoints where the model holds it: parameters, buffers, and attributes of its
        modules that are tensors, numbers, text or random generators. Anything else is saved through
        `nn.Module.get_extra_state`.
        """

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        """Return the stages of training; their shares add up to 1."""
        return (Stage(),)

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        """Return the groups of trained tensors with a rate or a decay of their own; the first that has a tensor counts.

        Tensors of no group have the recipe's rate and decay.
        """
        return ()

    def dead(self, model: nn.Module) -> dict[str, str]:
        """Return the trainable tensors that can never have a gradient: parameter name -> reason."""
        return {}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        """Return what the record notes about this attachment (insertion points, created biases, ...)."""
        return {}

    def require(self, rule: bool, field: str, text: str) -> None:
        """Raise UsageError "method.field=value: text" unless the rule holds."""
        if not rule:
            raise UsageError(f"method.{field}={getattr(self, field)}: {text}")


class OnWeights(Method):
    """A method with one delta on the weight of each of some linears, which a merge folds into that weight.

    A field `rank` is checked to be at least 1, and a field `dropout`, the share of each delta's input that is dropped
    while it trains, to be a share.
    """

    mergeable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.require(getattr(self, "rank", 1) >= 1, "rank", "the rank must be at least 1")
        rule = "a share of the input to drop is at least 0 and below 1"
        self.require(0 <= getattr(self, "dropout", 0.0) < 1, "dropout", rule)

    def fits(self, path: str, host: Linear) -> None:
        """Raise UsageError where a linear, of this dotted name, cannot have the delta."""

    def fits_rank(self, path: str, host: Linear) -> None:
        """Raise UsageError where the rank is above the smaller side of a linear of this dotted name."""
        limit = min(host.in_features, host.out_features)
        rule = f"the rank must be at most {limit}, the smaller side of {path}"
        self.require(getattr(self, "rank", 1) <= limit, "rank", rule)

    def attach_each(self, hosts: Mapping[str, Linear], make: Callable[[Linear], Delta]) -> None:
        """Insert what `make` returns for each linear, by dotted name, once every linear is known to fit."""
        for path, host in hosts.items():
            self.fits(path, host)
        for host in hosts.values():
            delta = make(host)
            if isinstance(delta, Dropping):
                delta.dropout = getattr(self, "dropout", 0.0)
            insert(host, self.name, delta)

    def merge(self, model: nn.Module) -> None:
        fold(model, self.name)
