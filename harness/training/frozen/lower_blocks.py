"""The outputs of the blocks below the lowest one that trains, computed once per row.

What enters the first block above them is kept. When all rows of a batch are known, the blocks below pass on what enters
them, and the kept values take its place above. A block that also makes something which others read, as T5's first one
makes the bias of positions, is computed each time. A decoder's calls with keys and values from before are, too.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache

from harness.training.frozen.remembered import SIMPLE, Remembered, drops, joined, keys_of
from methods.backbone import roles

STATES = "hidden_states"
"""The name that transformers' blocks give to their input and output [B, T, D]."""
Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]


def lower_blocks(model: nn.Module, part: nn.Module) -> list[nn.Module]:
    """Return the blocks of a part of the model below its lowest one that trains, and that one last.

    Where none trains, the last block stands for it. Return [] where there is no block below.
    """
    inside = {id(module) for module in part.modules()}
    blocks = [block for block in roles.find(model, "blocks").values() if id(block) in inside]
    trains = [any(parameter.requires_grad for parameter in block.parameters()) for block in blocks]
    lowest = trains.index(True) if any(trains) else len(blocks) - 1
    return blocks[: lowest + 1] if lowest > 0 else []


@dataclass
class LowerBlocks(Remembered):
    """The states [B, T, D] that enter a block, by row.

    blocks: those below it. above: the block. passes: for each block below, how it may be left out; None where it must
    be computed. given_states: those of the call that is being answered. noting: whether the states that enter are
    noted, in `entered`. made: for each block below, what it has made beside the states. checked: whether it is known
    that nothing below trains. takes_cache: whether the part can be asked for keys and values.
    """

    blocks: Sequence[nn.Module] = ()
    above: nn.Module = field(default_factory=nn.Identity)
    passes: dict[int, "Pass | None"] = field(default_factory=dict)
    given_states: torch.Tensor | None = None
    noting: bool = False
    entered: torch.Tensor | None = None
    made: dict[int, Sequence[Any]] = field(default_factory=dict)
    checked: bool = False
    takes_cache: bool = False

    @classmethod
    def of(cls, part: nn.Module, blocks: Sequence[nn.Module]) -> "LowerBlocks":
        """Return the memory of a part of a model. blocks: of `lower_blocks`."""
        *below, above = blocks
        takes = "use_cache" in inspect.signature(type(part).forward).parameters
        name = f"the {len(below)} lowest blocks" if len(below) > 1 else "the lowest block"
        return cls(name, part, part.forward, drops(part), blocks=below, above=above, takes_cache=takes)

    def begin(self) -> None:
        """Take the place of the blocks' own forward passes."""
        super().begin()
        for place, block in enumerate(self.blocks):
            block.forward = partial(self._below, place, block.forward)
        self.above.forward = partial(self._enter, self.above.forward)

    def end(self) -> None:
        """Give the blocks their own forward passes back."""
        super().end()
        for block in (*self.blocks, self.above):
            del block.forward

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **more: Any) -> Any:
        """Return what the part returns for these rows, input_ids and attention_mask: [B, T]."""
        if self.takes_cache and more.get("use_cache") is None:  # who wants keys and values asks for them
            more = {**more, "use_cache": False}
        call = partial(self.compute, input_ids=input_ids, attention_mask=attention_mask, **more)
        if not self._knows_rows(input_ids, attention_mask, more) or more.get("use_cache"):
            return call()
        if not self._is_frozen(input_ids, attention_mask, more):
            return call()
        keys = keys_of(input_ids, attention_mask, more)
        if all(key in self.rows for key in keys):
            self.given += 1
            self.given_states = joined([self.rows[key] for key in keys], attention_mask)[STATES]
            try:
                return call()
            finally:
                self.given_states = None
        self.computed += 1
        with torch.inference_mode(False):  # tensors of inference mode could not be trained on later
            output, states = self._note(call)
        if states is not None:
            self._keep_rows(keys, attention_mask, {STATES: states})
        return output

    def _note(self, call: Callable[[], Any]) -> tuple[Any, torch.Tensor | None]:
        """Return what a call returns, and the states [B, T, D] that enter the block above in it."""
        self.noting = True
        try:
            return call(), self.entered
        finally:
            self.noting, self.entered = False, None

    def _is_frozen(self, ids: torch.Tensor, mask: torch.Tensor, more: Mapping[str, Any]) -> bool:
        """Return whether the states depend on nothing that trains: in the first call one row is computed to see it."""
        if not self.checked:
            self.checked = True
            device = [ids.device] if ids.device.type == "cuda" else []
            given = {"input_ids": ids, "attention_mask": mask, **more}
            row = {name: own[:1].clone() if isinstance(own, torch.Tensor) else own for name, own in given.items()}
            with torch.random.fork_rng(devices=device), torch.inference_mode(False), torch.enable_grad():
                _, states = self._note(partial(self.compute, **row))
            if states is None or states.requires_grad:
                self.off = "they depend on what trains"
            elif not any(self.passes.values()):
                self.off = "each of them makes something that others read"
            self.made.clear()
        return not self.off

    def _below(self, place: int, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the output of a block that is remembered: [B, T, D], or a tuple that begins with it."""
        if self.given_states is not None and (rule := self.passes.get(place)) is not None:
            return rule.output((args, kwargs))
        self._see((*args, *kwargs.values()))
        output = compute(*args, **kwargs)
        if self.noting and place not in self.passes:
            self.passes[place], self.made[place] = Pass.of(output, (args, kwargs))
        return output

    def _see(self, arguments: Sequence[Any]) -> None:
        """Take note of the blocks below that make something that another block reads."""
        for place, values in self.made.items():
            if any(value is argument for value in values for argument in arguments):
                self.passes[place] = None

    def _enter(self, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the output of the block above, whose states are those that are given, or are noted."""
        named = STATES in kwargs
        self._see((*args, *kwargs.values()))
        if self.given_states is None:
            self.entered = (kwargs[STATES] if named else args[0]) if self.noting else None
        elif named:
            kwargs = {**kwargs, STATES: self.given_states}
        else:
            args = (self.given_states, *args[1:])
        return compute(*args, **kwargs)


@dataclass(frozen=True)
class Pass:
    """How a block is left out. rest: the places among its arguments of what it returns beside the states, or a plain
    value; None where it returns the states alone.
    """

    rest: tuple[Any, ...] | None

    @classmethod
    def of(cls, output: Any, given: Arguments) -> tuple["Pass | None", Sequence[Any]]:
        """Return how a block is left out that returned this, and what it has made beside the states.

        It cannot be left out where it adds keys and values to a cache. What it has made is None when it is left out.
        """
        args, kwargs = given
        if any(isinstance(value, Cache) for value in (*args, *kwargs.values())):
            return None, ()
        if isinstance(output, torch.Tensor):
            return cls(None), ()
        places = [_place(value, given) for value in output[1:]]
        made = [value for value, place in zip(output[1:], places, strict=True) if place is None]
        return cls(tuple(place or ("value", None) for place in places)), made

    def output(self, given: Arguments) -> Any:
        """Return what the block would return, with the states [B, T, D] as they entered it."""
        args, kwargs = given
        states = kwargs[STATES] if STATES in kwargs else args[0]
        if self.rest is None:
            return states
        places: dict[str, Any] = {"at": args, "named": kwargs}
        return (states, *(places[kind][place] if kind in places else place for kind, place in self.rest))


def _place(value: Any, given: Arguments) -> tuple[str, Any] | None:
    """Return where among the arguments a returned value stands, or the value where it is a plain one; else None."""
    args, kwargs = given
    if isinstance(value, SIMPLE):
        return "value", value
    at = [("at", place) for place, other in enumerate(args) if other is value]
    named = [("named", name) for name, other in kwargs.items() if other is value]
    return next(iter((*at, *named)), None)
