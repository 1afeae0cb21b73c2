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
    """Return the parameters outside the base model of a classifier; none where the output layer belongs to the
    backbone.
    """
    if not head.labels:
        return set()
    prefix = f"{model.base_model_prefix}."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def in_files(config: ModelConfig, model: "PreTrainedModel", head: Head) -> set[str]:
    """Return the parameters of the head that the files hold in its shape, as transformers takes them, too."""
    shapes = digest.shapes(weight_files.folder(config)) if head.labels else {}
    sizes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return {name for name in names(model, head) if shapes.get(name) == sizes[name]}


def draw(model: "PreTrainedModel", head: Head, own: Collection[str]) -> None:
    """Draw the head's weights from torch's generator, but leave those with the names `own` as they are."""
    parameters = dict(model.named_parameters())
    values = {name: parameters[name].detach().clone() for name in own}
    owners = {name.rpartition(".")[0] for name in names(model, head)}
    for owner in sorted(owners):
        model._init_weights(model.get_submodule(owner))
    for name, value in values.items():
        parameters[name].data.copy_(value)
