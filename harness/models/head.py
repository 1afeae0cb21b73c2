"""What a task head needs to know of a task. Torch-free."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """What stands on the backbone: "seq2seq_lm" (its own output layer) or "sequence_classification"."""

    kind: str
    labels: int = 0
