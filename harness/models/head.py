"""The head that a task needs on a backbone. Torch is not imported."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """The kind of head: a language model's own output layer ("seq2seq_lm", "causal_lm", "masked_lm") or a classifier.

    labels: the number of classes of "sequence_classification", else 0.
    """

    kind: str
    labels: int = 0
