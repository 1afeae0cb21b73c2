"""Output layers that are tied to the embedding: a merge into one of them must not change the other.

A merge unties first. Then every module has tensors of its own. The configuration states it too, because by that flag a
loader ties them again.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from methods.attachment.hooks import backbone_modules
from methods.backbone.linears import Part


def untie(model: nn.Module, host: nn.Module | Part) -> None:
    """Prepare a merge into the weight of `host`: where several modules share that tensor, give each its own."""
    module = host.module if isinstance(host, Part) else host
    if len(holders(model, module.get_parameter("weight"))) > 1:
        separate(model)


def holders(model: nn.Module, tensor: nn.Parameter) -> list[tuple[nn.Module, str]]:
    """Return (module of the backbone, parameter name there) wherever `tensor`, of any shape, is the parameter."""
    return [
        (module, name)
        for module in backbone_modules(model)
        for name, parameter in module._parameters.items()
        if parameter is tensor
    ]


def separate(model: nn.Module) -> None:
    """Give each module of the backbone tensors of its own, with the same values, and make the configuration say so."""
    seen: set[int] = set()
    for module in backbone_modules(model):
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in seen:
                module._parameters[name] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            seen.add(id(parameter))
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.all_tied_weights_keys = {}
            part.config.tie_word_embeddings = False


def is_separate(model: nn.Module) -> bool:
    """Return whether the model's configuration states that the output layer is not tied to the embedding."""
    return not getattr(getattr(model, "config", None), "tie_word_embeddings", False)


@torch.no_grad()
def declare(model: Any) -> None:
    """Prepare a model for saving: declare an output layer of its own, so that any loader leaves it alone.

    T5 scales the input of its output layer by D^-0.5 where the two are tied, and loaders derive one from the other. So
    that factor goes into the weight.
    """
    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if output is None or output.weight is embedding.weight:
        return
    separate(model)
    if getattr(model.config, "scale_decoder_outputs", False):
        output.weight.mul_(model.config.d_model**-0.5)
        model.config.scale_decoder_outputs = False
