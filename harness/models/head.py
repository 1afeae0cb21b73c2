"""The head that a task needs on a backbone, and where its values come from. Torch is not imported."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.config.schema import ModelConfig
from harness.models import digest, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Head:
    """The kind of head: a language model's own output layer ("seq2seq_lm", "causal_lm", "masked_lm") or a classifier.

    labels: the number of classes of "sequence_classification", else 0.
    """

    kind: str
    labels: int = 0


def names(model: "PreTrainedModel", head: Head) -> set[str]:
    """Return the names of a classifier's parameters outside its base model.

    A language model's output layer belongs to the backbone, so it has none.
    """
    if not head.labels:
        return set()
    prefix = f"{model.base_model_prefix}."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def in_files(config: ModelConfig, model: "PreTrainedModel", head: Head) -> set[str]:
    """Return the names of the head's parameters that the files hold in the same shape, as transformers loads them."""
    shapes = digest.shapes(weight_files.folder(config)) if head.labels else {}
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return {name for name in names(model, head) if shapes.get(name) == sizes[name]}


def draw(model: "PreTrainedModel", head: Head, own: Collection[str]) -> None:
    """Draw the head's weights from torch's generator. Those with the names `own` stay as they are."""
    parameters = dict(model.named_parameters())
    values = {name: parameters[name].detach().clone() for name in own}
    owners = {name.rpartition(".")[0] for name in names(model, head)}
    for owner in sorted(owners):
        model._init_weights(model.get_submodule(owner))
    for name, value in values.items():
        parameters[name].data.copy_(value)
