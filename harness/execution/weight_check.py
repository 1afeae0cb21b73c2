"""Whether a model's files hold the tensors that its architecture needs, in its shapes. No values are read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel

from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.models import backbone, digest, weight_files
from harness.training.objectives import registry as objectives

Shapes = Mapping[str, tuple[int, ...]]
PLACEHOLDER_LABELS = 2
"""The classes of a head whose shape does not matter."""


@dataclass(frozen=True)
class Absent:
    """Names of tensors that files lack.

    parts: of parts outside the blocks (a pooler, a head) of which the files hold nothing. lost: of blocks and modules
    whose other tensors are there.
    """

    parts: list[str]
    lost: list[str]


def check(config: ModelConfig, model: PreTrainedModel, objective: str) -> None:
    """Raise UsageError unless the files hold the architecture's tensors in its shapes. A head is drawn, so it may be
    absent.

    model: the backbone without weights, as the objective needs it.
    """
    if config.weights != "pretrained":
        return
    present = digest.shapes(weight_files.folder(config))
    lacking = absent(model, present)
    if names := lacking.lost:
        raise UsageError(
            f"model {config.name}: its files lack {_named(names)}, though they hold the tensors beside it. "
            "Get the files again, or take a checkpoint that is whole."
        )
    if names := lacking.parts:
        raise UsageError(
            f"model {config.name}: its files lack {_named(names)}, which objective {objective} needs. "
            f"Take {_another(config, objective, present)}a checkpoint that holds it."
        )
    if names := beyond(model, present):
        raise UsageError(
            f"model {config.name}: its config.json has no block for {_named(names)} of its files. "
            "Use the configuration that the weights were saved with."
        )
    wanted = _frozen(model)
    for name, shape in present.items():
        expected = wanted.get(name, wanted.get(f"{model.base_model_prefix}.{name}", shape))
        if expected != shape:
            raise UsageError(
                f"model {config.name}: {name} is {shape} in its files and {expected} by its config.json. "
                "Use the configuration that the weights were saved with."
            )


def absent(model: PreTrainedModel, present: Iterable[str]) -> Absent:
    """Return the tensors of which the files hold nothing under any name.

    Where a file uses other names, transformers' loader translates them, and nothing is reported: then no block has a
    tensor under its name here, or its module has tensors under other names. A tensor is lost where another block has
    its own, or where the architecture knows all that the files hold of its block or module. An output layer is lost
    only where the architecture knows all names of the files, since old ones use another name for it.
    """
    start = f"{model.base_model_prefix}."
    names = {name.removeprefix(start) for name in present}
    loose, computed = _loose(model), model._keys_to_ignore_on_load_missing or ()
    needed = [name for name in _frozen(model) if name not in loose]
    wanted = [name for name in needed if not any(re.search(key, name) for key in computed)]
    lacking = {name: short for name in wanted if (short := name.removeprefix(start)) not in names}
    known = {name.removeprefix(start) for name in model.state_dict()}
    lost = [name for name, short in lacking.items() if _is_lost(short, names, known)]
    modules = {name.rpartition(".")[0] for name in names}
    parts = [name for name, short in lacking.items() if short.rpartition(".")[0] not in modules]
    parts = [] if any(map(_in_block, lacking.values())) else parts
    if names <= known and not parts:  # no tensor has another name
        lost += [name for name in _untied_output(model) if name.removeprefix(start) not in names]
    return Absent(parts, lost)


def beyond(model: PreTrainedModel, present: Iterable[str]) -> list[str]:
    """Return the files' tensors of blocks that the architecture does not have, though it has blocks like them."""
    start, computed = f"{model.base_model_prefix}.", model._keys_to_ignore_on_load_unexpected or ()
    known = {name.removeprefix(start) for name in model.state_dict()}
    kinds = {_kind(name) for name in known if _in_block(name)}
    others = [name for name in present if not any(re.search(key, name) for key in computed)]
    return [name for name in others if (short := name.removeprefix(start)) not in known and _kind(short) in kinds]


def _kind(name: str) -> str:
    """Return a tensor's name without the numbers of its blocks."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _in_block(name: str) -> bool:
    """Return whether a tensor belongs to one of the numbered blocks."""
    return any(part.isdigit() for part in name.split("."))


def _is_lost(name: str, names: Iterable[str], known: set[str]) -> bool:
    """Return whether a tensor is in no file, whatever name it might have there, though its block or module is.

    names: of the files. known: of the architecture.
    """
    if _kind(name) in map(_kind, names):
        return True
    block = re.match(r".*\.[0-9]+\.", name)
    around = block[0] if block else f"{name.rpartition('.')[0]}."
    here = {other for other in names if other.startswith(around)}
    return bool(here) and here <= known


def _untied_output(model: PreTrainedModel) -> list[str]:
    """Return the names of the output layer's weights, where it has some of its own."""
    output = model.get_output_embeddings()
    ids = {id(p) for p in output.parameters() if not p.requires_grad} if output is not None else set()
    tied = {name for pair in model.all_tied_weights_keys.items() for name in pair}
    return [name for name, p in model.named_parameters() if id(p) in ids and name not in tied]


def _loose(model: PreTrainedModel) -> set[str]:
    """Return the names of tied parameters and of the output layer."""
    output = model.get_output_embeddings()
    output_ids = {id(p) for p in output.parameters()} if output is not None else set()
    tied = {name for pair in model.all_tied_weights_keys.items() for name in pair}
    return tied | {name for name, p in model.named_parameters() if id(p) in output_ids}


def _frozen(model: PreTrainedModel) -> Shapes:
    """Return the shapes of the backbone's own parameters, without those of a head, which train."""
    return {name: tuple(p.shape) for name, p in model.named_parameters() if not p.requires_grad}


def _named(names: list[str]) -> str:
    """Return the number of tensors and the name of one."""
    return f"the tensor {names[0]}" if len(names) == 1 else f"{len(names)} tensors (one is {names[0]})"


def _another(config: ModelConfig, objective: str, present: Shapes) -> str:
    """Return the objectives for which the files hold all tensors, as the start of a choice; "" for none."""
    able = []
    for name in objectives.ANSWERS:
        try:
            model = backbone.outline(config, objectives.head(name, PLACEHOLDER_LABELS))
        except UsageError:
            continue
        if name != objective and absent(model, present) == Absent([], []):
            able.append(f"objective={name}")
    return f"{' or '.join(able)}, or " if able else ""
