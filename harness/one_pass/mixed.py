"""Mixed batches: one forward pass over rows of several tasks, each row with the delta of its own task.

The models of the tasks are one backbone with the same method attached. Tensors that are the same in all of them are
kept once, and the others, trained or drawn, are stacked. A forward pass takes for each row those of its task, and
torch.func.vmap computes all rows together. Each row has a copy of its delta during the pass, so that this is meant for
deltas that are small beside the backbone.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import masking_utils

from harness.errors import UsageError, near
from harness.one_pass.exchange import exchanged
from harness.store.store import Store
from harness.training import finished_model

PER_ROW = ("input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids", "decoder_input_ids",
           "decoder_attention_mask")  # fmt: skip
"""The inputs of transformers' models whose first axis is the rows."""


def of_cells(store: Store, keys: Mapping[str, str]) -> "Mixed":
    """Return the finished cells of these keys, or their beginnings, by the names that rows will call them.

    They are at their best checkpoint, on the CPU. Raise UsageError for a cell that is not finished or kept no weights,
    and for cells whose tensors differ in names or sizes, such as those of two methods.
    """
    return Mixed({name: finished_model.finished(store, store.find(key)).model for name, key in keys.items()})


class Mixed:
    """The deltas of several tasks on one backbone.

    names: of the tasks. apart: parameter or buffer -> the tensors of all tasks, [N, …]. model: that of the first task,
    whose other tensors all tasks share.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        """Take one model for each task, in evaluation mode; that of the first task is used from now on.

        Raise UsageError where they differ in more than the values of their tensors.
        """
        if not models:
            raise UsageError("a mixed batch needs the model of at least one task.")
        self.names = tuple(models)
        self.model = models[self.names[0]].eval()
        every = {name: dict(_tensors(model)) for name, model in models.items()}
        mine = every[self.names[0]]
        for name, other in every.items():
            _check_alike(self.names[0], mine, name, other)
        self.apart = {
            key: torch.stack([own[key].detach() for own in every.values()])
            for key, tensor in mine.items()
            if not all(torch.equal(tensor, own[key]) for own in every.values())
        }

    @torch.no_grad()
    def logits(self, tasks: Sequence[str], **inputs: Any) -> torch.Tensor:
        """Return the logits [B, …] of one forward pass, in which row i has the delta of tasks[i].

        inputs: those of the model's own forward pass for B rows, without a cache; input_ids: [B, T]. It computes in the
        precision of the context (harness/precision.py), as the model alone does. Raise UsageError for a task that is
        not there, and for a method whose forward pass torch cannot compute for rows with their own tensors.
        """
        rows = [self._place(name) for name in tasks]
        given = {name: value for name, value in inputs.items() if value is not None}
        for name in PER_ROW:
            if name in given and len(given[name]) != len(rows):
                raise UsageError(f"{name} has {len(given[name])} rows and {len(rows)} tasks are named; give one a row.")
        place = torch.tensor(rows, device=next(self.model.parameters()).device)
        own = {key: tensor[place] for key, tensor in self.apart.items()}
        per_row = {name: given.pop(name)[:, None] for name in PER_ROW if name in given}
        run = functools.partial(self._of_one_row, given)
        with sdpa_kernel(SDPBackend.MATH), _as_alone(place.device):
            try:
                return vmap(run, randomness="error")(own, per_row)[:, 0]
            except (RuntimeError, NotImplementedError, ValueError) as error:
                raise UsageError(self._refusal(error)) from error

    def _of_one_row(
        self, given: Mapping[str, Any], own: Mapping[str, torch.Tensor], row: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the logits [1, …] of a row with its own tensors."""
        with exchanged(self.model, own):
            output: torch.Tensor = self.model(**row, **given, use_cache=False).logits
        return output

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise UsageError(f"no delta is called {name!r}; there are {', '.join(self.names)}.{near(name, self.names)}")
        return self.names.index(name)

    @staticmethod
    def _refusal(error: Exception) -> str:
        reason = " ".join(str(error).split())[:160]
        return f"these deltas cannot share a pass ({reason}); give each task's rows a pass of its own."


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (dotted name, tensor) of every parameter and every buffer, each tensor once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _check_alike(first: str, mine: Mapping[str, torch.Tensor], name: str, other: Mapping[str, torch.Tensor]) -> None:
    """Raise UsageError unless two models have tensors of the same names, shapes and precisions."""
    for key in (*mine, *other):
        shapes = [tuple(own[key].shape) if key in own else "none" for own in (mine, other)]
        if shapes[0] != shapes[1] or mine[key].dtype != other[key].dtype:
            raise UsageError(
                f"the deltas of {first} and {name} cannot share a pass: {key} is {shapes[0]} in one and {shapes[1]} in "
                "the other; they need one backbone and one method with the same fields."
            )


@contextmanager
def _as_alone(device: torch.device) -> Iterator[None]:
    """Let attention compute under vmap what it computes without, while the block runs.

    transformers looks whether a mask is all ones, which differs from row to row and cannot be asked here: it builds
    each mask in full, as where it is traced. torch casts the inputs of attention under autocast, but not under vmap.
    """
    attend, half = F.scaled_dot_product_attention, torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type)

    def cast(*inputs: Any, **more: Any) -> torch.Tensor:
        return attend(*(_to(dtype, value) for value in inputs), **{name: _to(dtype, own) for name, own in more.items()})

    with (
        _replaced(masking_utils, "is_tracing", lambda *_: True),
        _replaced(F, "scaled_dot_product_attention", cast if half else attend),
    ):
        yield


def _to(dtype: torch.dtype, value: Any) -> Any:
    """Return a tensor of whatever shape in this precision if it holds fractions; anything else as it is."""
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


@contextmanager
def _replaced(module: Any, name: str, value: Callable[..., Any]) -> Iterator[None]:
    own = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, own)
