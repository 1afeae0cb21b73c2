"""The outputs of a frozen part of a model, computed once per row and kept over all epochs and evaluations.

The part is the whole body below a head that trains, or the encoder below a decoder that trains. The slow form is the
model as it is. A kept output was computed beside other rows, so it differs by rounding from that of another batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

LIMIT = 2**28
"""The most bytes of outputs that are kept; further rows are computed each time."""
SIMPLE = (bool, int, float, str, type(None))

Row = dict[str, torch.Tensor]


@dataclass
class Remembered:
    """The outputs of a part of a model, by row. compute: the part's own forward pass.

    drops: whether the part drops values while it trains; then it is remembered in evaluation only.

    given, computed: how many calls were answered from here, and how many the part has computed.
    kept_bytes: of the rows. off: why nothing is kept, if so.
    """

    name: str
    part: nn.Module
    compute: Callable[..., Any]
    drops: bool
    rows: dict[bytes, Row] = field(default_factory=dict)
    kind: Callable[..., Any] | None = None
    given: int = 0
    computed: int = 0
    kept_bytes: int = 0
    off: str = ""

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **more: Any) -> Any:
        """Return what the part returns for these rows, input_ids and attention_mask: [B, T]."""
        if self.off or (self.drops and self.part.training) or not _by_row(input_ids, attention_mask, more):
            return self.compute(input_ids=input_ids, attention_mask=attention_mask, **more)
        keys = _keys(input_ids, attention_mask, more)
        if self.kind is not None and all(key in self.rows for key in keys):
            self.given += 1
            return self.kind(**_joined([self.rows[key] for key in keys], attention_mask))
        self.computed += 1
        with torch.inference_mode(False):  # tensors of inference mode could not be trained on later
            output = self.compute(input_ids=input_ids, attention_mask=attention_mask, **more)
        self._keep(keys, attention_mask, output)
        return output

    def note(self) -> str:
        """Return what a record says about it."""
        if self.off:
            return f"none of {self.name}: {self.off}"
        calls = self.given + self.computed
        return f"{self.given} of {calls} calls of {self.name}, {self.kept_bytes / 2**20:.1f} MiB"

    def _keep(self, keys: Sequence[bytes], mask: torch.Tensor, output: Any) -> None:
        """Keep the outputs of rows that are new, until there are LIMIT bytes."""
        fields = {name: value for name, value in output.items() if value is not None}
        if any(not isinstance(value, torch.Tensor) or value.requires_grad for value in fields.values()):
            self.off = "its output depends on what trains, or is more than a tensor for each row"
            return
        self.kind = type(output)
        for place, key in enumerate(keys):
            if key not in self.rows and self.kept_bytes < LIMIT:
                row = {name: _of_row(value, place, mask) for name, value in fields.items()}
                self.rows[key] = row
                self.kept_bytes += sum(value.numel() * value.element_size() for value in row.values())


@contextmanager
def remembering(model: Any, wanted: bool = True) -> Iterator[Remembered | None]:
    """Let the largest frozen part of the model remember its outputs while the block runs; yield what it remembers.

    Yield None where that is not wanted, and where no part is frozen as a whole.
    """
    named = _part(model) if wanted else None
    if named is None:
        yield None
        return
    name, part = named
    memory = Remembered(name, part, part.forward, _drops(part))
    part.forward = memory.forward
    try:
        yield memory
    finally:
        del part.forward  # the class's own comes back


def _part(model: Any) -> tuple[str, Any] | None:
    """Return the name and the module of the body, else of the encoder, where nothing in it trains."""
    candidates = [("the body", model.base_model)] if model.base_model is not model else []
    if model.config.is_encoder_decoder:
        candidates.append(("the encoder", model.get_encoder()))
    for name, part in candidates:
        if not any(parameter.requires_grad for parameter in part.parameters()):
            return name, part
    return None


def _drops(part: nn.Module) -> bool:
    """Return whether a part drops values while it trains: by a module, or by a rate that it hands to a function."""
    rates = [getattr(module, "p", 0) for module in part.modules() if "Dropout" in type(module).__name__]
    named = [
        value
        for module in part.modules()
        for name, value in vars(module).items()
        if "drop" in name and isinstance(value, int | float)
    ]
    return any(rate > 0 for rate in (*rates, *named))


def _by_row(ids: Any, mask: Any, more: Mapping[str, Any]) -> bool:
    """Return whether a call has rows of tokens, and nothing else that differs from row to row."""
    return ids is not None and mask is not None and mask.ndim == 2 and all(isinstance(v, SIMPLE) for v in more.values())


def _keys(ids: torch.Tensor, mask: torch.Tensor, more: Mapping[str, Any]) -> list[bytes]:
    """Return a key for each row: its tokens without padding, and the arguments of the call."""
    arguments = repr(sorted(more.items())).encode()
    shown, there = ids.cpu().numpy(), mask.cpu().numpy().astype(bool)
    return [row[seen].tobytes() + arguments for row, seen in zip(shown, there, strict=True)]


def _of_row(value: torch.Tensor, place: int, mask: torch.Tensor) -> torch.Tensor:
    """Return a row's own part of an output: [T, D] without padding, or [D] where the output is [B, D]."""
    row = value[place].detach()
    return (row[mask[place].bool()] if value.ndim > 2 else row).clone()


def _joined(rows: Sequence[Row], mask: torch.Tensor) -> Row:
    """Return the outputs of rows as a batch: [B, T, D] with zeros where padding stands, or [B, D]."""
    there = mask.bool()
    joined = {}
    for name, first in rows[0].items():
        if first.ndim == 1:
            joined[name] = torch.stack([row[name] for row in rows])
            continue
        joined[name] = first.new_zeros(*mask.shape, first.shape[-1])
        joined[name][there] = torch.cat([row[name] for row in rows])
    return joined
