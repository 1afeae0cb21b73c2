"""Loading a backbone: frozen, in the precision of `model.dtype`; its head, if any, trains in single precision."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from harness import formatting
from harness.config.schema import ModelConfig
from harness.errors import NotApplicable, UsageError
from harness.models import architecture, digest, tensor_reader, weight_files
from harness.models import head as heads
from harness.models.head import Head
from harness.models.tokenizer import padding

CLASSES = {
    "seq2seq_lm": AutoModelForSeq2SeqLM,
    "causal_lm": AutoModelForCausalLM,
    "masked_lm": AutoModelForMaskedLM,
    "sequence_classification": AutoModelForSequenceClassification,
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
OUTPUT = "lm_head.weight"
DROPOUTS = re.compile(r".*(dropout|pdrop|drop_prob|drop_rate).*")
NOISES = re.compile(r".*(layerdrop|drop_?path|jitter).*")
"""Patterns of configuration fields: rates of dropout, and other randomness of training."""


Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Census:
    """The division of a model's parameters, taken before a method is attached.

    head: the ids of the head's parameters. backbone: the number of the others.
    """

    head: frozenset[int]
    backbone: int

    def count(self, model: nn.Module) -> dict[str, int]:
        """Return the numbers of parameters: the delta (trainable, without the head), the head, the backbone."""
        training = [p for p in model.parameters() if p.requires_grad]
        head = sum(p.numel() for p in training if id(p) in self.head)
        return {"delta": sum(p.numel() for p in training) - head, "head": head, "backbone": self.backbone}


def census(model: nn.Module) -> Census:
    """Return the division of a model as `load` returns it: its trainable parameters are the head."""
    head = frozenset(id(p) for p in model.parameters() if p.requires_grad)
    return Census(head, sum(p.numel() for p in model.parameters() if id(p) not in head))


Read = Callable[[ModelConfig, Head, float | None], PreTrainedModel]


def load(
    config: ModelConfig, head: Head, seed: int, dropout: float | None = None, read: Read | None = None
) -> PreTrainedModel:
    """Return the backbone with its weights. `seed` draws what the files lack of a head (and everything, with
    weights=random).

    read: gives pretrained weights in the place of `pretrained`. Raises UsageError where the weights lack a tensor of
    the architecture, and where they changed since `resolve`.
    """
    weight_files.verify(config)
    torch.manual_seed(seed)
    if config.weights == "random":
        model = build(config, head, dropout)
    else:
        model = (read or pretrained)(config, head, dropout)
        torch.manual_seed(seed)
        heads.draw(model, head, heads.in_files(config, model, head))
    weight_files.verify(config)  # the files must not have been replaced while they were read
    return masters(_freeze(model, head).eval())


def masters(model: Model) -> Model:
    """Convert trainable parameters to single precision after a method is attached, and return the model.

    Frozen vectors (norms, biases) are converted as well, since one operation may combine them with trained ones. Frozen
    matrices stay in `model.dtype`.
    """
    for parameter in model.parameters():
        if parameter.dtype == torch.bfloat16 and (parameter.requires_grad or parameter.ndim < 2):
            parameter.data = parameter.data.float()
    return model


def outline(config: ModelConfig, head: Head, dropout: float | None = None) -> PreTrainedModel:
    """Return the backbone without weights (meta device): everything but values, in milliseconds and without
    a download.
    """
    with torch.device("meta"), no_init_weights():
        model = _make(config, _adapted(architecture.declared(config), head, dropout), head)
    return masters(_freeze(parted(model, config), head))


def parted(model: PreTrainedModel, config: ModelConfig) -> PreTrainedModel:
    """Untie, in a model without weights, what its configuration ties but its files hold as two tensors, and return it.

    A loaded model has two tensors there. Files that would have to be downloaded or converted are not read.
    """
    if config.weights != "pretrained" or weight_files.with_source(config).source == "hub":
        return model
    if weight_files.unconverted(config):
        return model
    place, prefix = weight_files.folder(config), f"{model.base_model_prefix}."
    with_prefix = any(name.startswith(prefix) for name in digest.shapes(place))
    for target, source in list(model.all_tied_weights_keys.items()):
        names = [name if with_prefix else name.removeprefix(prefix) for name in (target, source)]
        if tensor_reader.differ(place, *names):
            owner, _, name = target.rpartition(".")
            parameter = model.get_submodule(owner)._parameters[name]
            model.get_submodule(owner)._parameters[name] = nn.Parameter(
                torch.empty_like(parameter), parameter.requires_grad
            )
            del model.all_tied_weights_keys[target]
    return model


def build(config: ModelConfig, head: Head, dropout: float | None = None) -> PreTrainedModel:
    """Return the architecture of the configuration, with weights drawn from torch's generator."""
    return _make(config, _settings(config, head, dropout), head)


def _make(config: ModelConfig, settings: PreTrainedConfig, head: Head) -> PreTrainedModel:
    _check_kind(config, settings, head)
    try:
        model = CLASSES[head.kind].from_config(
            settings,
            dtype=DTYPES[config.dtype],
            attn_implementation=config.attention,
            trust_remote_code=config.trust_remote_code,
        )
    except ValueError as error:
        raise _unfit(config, settings, head, error) from error
    model.tie_weights()
    return model if _saved_tied(config) else _own_output(model)


def _unfit(config: ModelConfig, settings: PreTrainedConfig, head: Head, error: ValueError) -> NotApplicable:
    """Return the error of a model that cannot have this head or this attention."""
    why = str(error).splitlines()[0]
    if "does not support an attention implementation" in why:
        return NotApplicable(
            f"model {config.name}: transformers has no {config.attention} attention for {settings.model_type}. "
            f"Take model.attention={'eager' if config.attention == 'sdpa' else 'sdpa'}."
        )
    return NotApplicable(
        f"model {config.name} ({settings.model_type}) cannot serve as {head.kind.replace('_', ' ')}: {why:.200}"
    )


def _saved_tied(config: ModelConfig) -> bool:
    """Return whether a model's files say that its output layer is tied, and do not hold that layer.

    transformers 5 saves a T5 v1.1 of its own making in this way, because it ties every T5.
    """
    if weight_files.declared(config):
        return False
    place = weight_files.folder(config)
    tensors = digest.shapes(place) if weight_files.plan(place).get("tie_word_embeddings") else {}
    return bool(tensors) and OUTPUT not in tensors


def _own_output(model: PreTrainedModel) -> PreTrainedModel:
    """Give T5 v1.1 its separate output layer, which transformers 5 ties where no file with its values is present.

    The architecture is recognised by its decoder's outputs, which are not scaled.
    """
    if not getattr(model.config, "scale_decoder_outputs", True) and model.all_tied_weights_keys.pop(OUTPUT, None):
        layer = model.get_output_embeddings()
        layer.weight = nn.Parameter(layer.weight.detach().clone())
    return model


def _check_kind(config: ModelConfig, settings: PreTrainedConfig, head: Head) -> None:
    """Raise NotApplicable where the architecture's attention does not fit the head.

    transformers would make a decoder of an encoder, and fill masks with an encoder-decoder.
    """
    two_way = type(settings) in MODEL_FOR_MASKED_LM_MAPPING
    if (head.kind == "causal_lm" and two_way) or (head.kind == "masked_lm" and settings.is_encoder_decoder):
        raise NotApplicable(
            f"model {config.name} ({settings.model_type}) cannot serve as {head.kind.replace('_', ' ')}: its attention "
            f"is {'two-way' if head.kind == 'causal_lm' else 'that of an encoder-decoder'}."
        )
    _check_cache(config, settings, head)


def _check_cache(config: ModelConfig, settings: PreTrainedConfig, head: Head) -> None:
    """Raise NotApplicable for a decoder without a cache of keys and values, such as a recurrent one."""
    made = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(settings), None) if head.kind == "causal_lm" else None
    if made is not None and "past_key_values" not in inspect.signature(made.forward).parameters:
        raise NotApplicable(
            f"model {config.name} ({settings.model_type}) cannot serve as causal lm: it keeps no cache of keys and "
            "values, from which answers are read. Take a decoder with attention."
        )


def _settings(config: ModelConfig, head: Head, dropout: float | None) -> PreTrainedConfig:
    return _adapted(architecture.read(config), head, dropout)


def _adapted(settings: PreTrainedConfig, head: Head, dropout: float | None) -> PreTrainedConfig:
    if head.labels:
        settings.num_labels = head.labels
        settings.pad_token_id = padding(settings)  # a decoder's head reads the last token before it
    if dropout is not None:
        _set_dropout(settings, dropout)
    return settings


def _set_dropout(settings: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout rate of a configuration and of its parts.

    Skipped layers (layerdrop) and router noise keep the configuration's rates, but at 0 they are turned off as well. A
    configuration that declares a rate as a whole number, as MPT's does, would refuse 0.1; so none is asked.
    """
    for name, value in vars(settings).copy().items():
        if isinstance(value, PreTrainedConfig):
            _set_dropout(value, dropout)
        elif not isinstance(value, float | int | None) or isinstance(value, bool):
            continue
        elif NOISES.fullmatch(name):
            vars(settings)[name] = value if dropout else 0.0
        elif DROPOUTS.fullmatch(name):
            vars(settings)[name] = dropout


def pretrained(config: ModelConfig, head: Head, dropout: float | None) -> PreTrainedModel:
    """Return the model with its weights. What the files lack of a head has values that mean nothing yet.

    They are read directly from one safetensors file where its names match.

    transformers' loader handles every other case. The direct way takes 20 ms where that loader takes 50 to 200.
    """
    folder = weight_files.folder(config)
    file = folder / "model.safetensors"
    if file.is_file():
        with no_init_weights():
            model = build(config, head, dropout)
        if _fill(model, head, file):
            return model
    digest.shards(folder)  # transformers would wait for a pipe
    digest.shapes(folder)
    settings = _settings(config, head, dropout)
    model, report = CLASSES[head.kind].from_pretrained(
        folder,
        config=settings,
        dtype=DTYPES[config.dtype],
        attn_implementation=config.attention,
        trust_remote_code=config.trust_remote_code,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # a head for other labels is drawn again; other mismatches are refused below
    )
    drawn = heads.names(model, head)
    if lacking := sorted(set(report["missing_keys"]) - drawn):
        raise UsageError(
            f"model {config.name}: its files lack {formatting.count(len(lacking), 'tensor')} that "
            f"{head.kind.replace('_', ' ')} needs, {lacking[0]} among them. Take another objective, or a checkpoint "
            "that is whole."
        )
    if wrong := sorted(key for key in report["mismatched_keys"] if key[0] not in drawn):
        name, shape, wanted = wrong[0]
        raise UsageError(
            f"model {config.name}: {name} is {tuple(shape)} in its files and {tuple(wanted)} by its config.json. "
            "Use the configuration that the weights were saved with."
        )
    return model


def _fill(model: PreTrainedModel, head: Head, file: Path) -> bool:
    """Copy the file's tensors into the model.

    Returns whether every tensor but tied ones and the head got a value and the file agrees with the configuration.
    """
    try:
        tensors = tensor_reader.load(file, linked=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: this is not a whole safetensors file ({error}). Get it again.") from error
    prefix = f"{model.base_model_prefix}."
    if model.base_model is not model and not any(name.startswith(prefix) for name in tensors):
        tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    if any(not _same(tensors, *pair) for pair in model.all_tied_weights_keys.items()):
        return False
    drawn, own = heads.names(model, head), model.state_dict()
    tensors = {  # the file's head may be for another number of labels
        name: tensor for name, tensor in tensors.items() if name not in drawn or tensor.shape == own[name].shape
    }
    if any(name in own and tensor.shape != own[name].shape for name, tensor in tensors.items()):
        return False
    missing = set(model.load_state_dict(tensors, strict=False).missing_keys)
    model.tie_weights(recompute_mapping=False)
    return not missing - set(model.all_tied_weights_keys) - drawn


def _same(tensors: Mapping[str, torch.Tensor], target: str, source: str) -> bool:
    """Return whether tensors that the configuration ties are not two different ones in the file.

    Where they differ, the file is right, and transformers' own loader does not tie them.
    """
    return target not in tensors or source not in tensors or torch.equal(tensors[target], tensors[source])


def _freeze(model: PreTrainedModel, head: Head) -> PreTrainedModel:
    """Freeze every parameter but the head's, and return the model."""
    names = heads.names(model, head)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    return model
