"""The outputs of a frozen part of a model, computed once per row and kept over all epochs and evaluations.

The part is the whole body below a head that trains, the encoder below a decoder that trains, or the blocks below the
lowest one that trains (lower_blocks.py). The slow form is the model as it is. A kept output was computed beside other
rows, so it differs by rounding from that of another batch.
"""

from collections.abc import Callable, Mapping, Sequence
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

    def begin(self) -> None:
        """Take the place of the part's own forward pass."""
        self.part.forward = self.forward

    def end(self) -> None:
        """Give the part its own forward pass back."""
        del self.part.forward

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **more: Any) -> Any:
        """Return what the part returns for these rows, input_ids and attention_mask: [B, T]."""
        if not self._knows_rows(input_ids, attention_mask, more):
            return self.compute(input_ids=input_ids, attention_mask=attention_mask, **more)
        keys = keys_of(input_ids, attention_mask, more)
        if self.kind is not None and all(key in self.rows for key in keys):
            self.given += 1
            return self.kind(**joined([self.rows[key] for key in keys], attention_mask))
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

    def _knows_rows(self, ids: Any, mask: Any, more: Mapping[str, Any]) -> bool:
        """Return whether the outputs of a call may be kept, or given again, for each row."""
        return not self.off and not (self.drops and self.part.training) and _by_row(ids, mask, more)

    def _keep(self, keys: Sequence[bytes], mask: torch.Tensor, output: Any) -> None:
        """Keep the outputs of rows that are new, until there are LIMIT bytes."""
        fields = {name: value for name, value in output.items() if value is not None}
        if any(not isinstance(value, torch.Tensor) or value.requires_grad for value in fields.values()):
            self.off = "its output depends on what trains, or is more than a tensor for each row"
            return
        self.kind = type(output)
        self._keep_rows(keys, mask, fields)

    def _keep_rows(self, keys: Sequence[bytes], mask: torch.Tensor, fields: Row) -> None:
        """Keep the rows of these outputs that are new."""
        for place, key in enumerate(keys):
            if key not in self.rows and self.kept_bytes < LIMIT:
                row = {name: of_row(value, place, mask) for name, value in fields.items()}
                self.rows[key] = row
                self.kept_bytes += sum(value.numel() * value.element_size() for value in row.values())


def drops(part: nn.Module) -> bool:
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
    """Return whether a call has rows of tokens, their positions at most, and nothing else that differs by row."""
    if ids is None or mask is None or mask.ndim != 2:
        return False
    return all(isinstance(value, SIMPLE) or _is_like(value, ids) for value in more.values())


def _is_like(value: Any, ids: torch.Tensor) -> bool:
    """Return whether a value has a whole number for each token of ids: [B, T]."""
    return isinstance(value, torch.Tensor) and value.shape == ids.shape and not value.is_floating_point()


def keys_of(ids: torch.Tensor, mask: torch.Tensor, more: Mapping[str, Any]) -> list[bytes]:
    """Return a key for each row: its tokens and their positions without padding, and the arguments of the call."""
    tables = {name: value for name, value in sorted(more.items()) if isinstance(value, torch.Tensor)}
    arguments = repr(sorted((name, value) for name, value in more.items() if name not in tables)).encode()
    shown, there = [table.cpu().numpy() for table in (ids, *tables.values())], mask.cpu().numpy().astype(bool)
    rows = zip(*shown, there, strict=True)
    return [b"".join(part[seen].tobytes() for part in parts) + arguments for *parts, seen in rows]


def of_row(value: torch.Tensor, place: int, mask: torch.Tensor) -> torch.Tensor:
    """Return a row's own part of an output: [T, D] without padding, or [D] where the output is [B, D]."""
    row = value[place].detach()
    return (row[mask[place].bool()] if value.ndim > 2 else row).clone()


def joined(rows: Sequence[Row], mask: torch.Tensor) -> Row:
    """Return the outputs of rows as a batch: [B, T, D] with zeros where padding stands, or [B, D]."""
    there = mask.bool()
    outputs = {}
    for name, first in rows[0].items():
        if first.ndim == 1:
            outputs[name] = torch.stack([row[name] for row in rows])
            continue
        outputs[name] = first.new_zeros(*mask.shape, first.shape[-1])
        outputs[name][there] = torch.cat([row[name] for row in rows])
    return outputs
