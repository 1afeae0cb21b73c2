"""A delta in a folder of its own: what trained (`delta.safetensors`) and what it belongs to (`method.json`).

Or as PEFT's adapter files, or folded into the backbone and saved as transformers saves a model. Nothing here is
pickled or unpickled, and a folder that holds anything is never written to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedConfig

from harness import atomic_files
from harness.config.schema import Cell, MethodConfig
from harness.errors import NotApplicable, UsageError
from harness.models import weight_files
from harness.store import identity
from harness.training import finished_model
from harness.training.finished_model import Built
from methods.attachment import tied_weights
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.delta import Delta
from methods.peft_files.detect import method_of
from methods.peft_files.export import read_peft, write_peft

TENSORS, METHOD = "delta.safetensors", "method.json"
FORMAT = 1
BACKBONE = ("name", "family", "revision", "weights")
PRECISION = ("model.dtype", "recipe.precision")


def write(built: Built, folder: Path, origin: Mapping[str, Any]) -> None:
    """`delta.safetensors` and `method.json`. origin: where it comes from, for the reader."""
    state = delta_state(built.model)
    if not state or (built.cell.parents and _leans_on_parents(built.model)):
        raise UsageError(
            f"a delta of {built.cell.method.name} does not stand alone: it is nothing without the cells it builds on."
            if built.cell.parents
            else f"method {built.cell.method.name} trained nothing here, so there is no delta."
        )
    content = identity.to_json(built.cell, ("identity", "provenance"))
    told = {
        "format": FORMAT,
        "method": content["method"],
        "model": {name: content["model"][name] for name in BACKBONE},
        "task": built.cell.task.name,
        "objective": built.cell.objective,
        "seed": built.cell.seed,
        "precision": {"model.dtype": built.cell.model.dtype, "recipe.precision": built.cell.recipe.precision},
        "origin": dict(origin),
    }
    _make(folder)
    save_file(state, folder / TENSORS)
    atomic_files.write_json(folder / METHOD, told)


def write_to_peft(built: Built, folder: Path) -> None:
    """As PEFT's adapter files. UsageError for a method that PEFT does not have."""
    _check_free(folder)
    model = built.cell.model
    write_peft(built.model, built.method, folder, model.location if model.source == "hub" else None)


def write_merged(built: Built, folder: Path) -> None:
    """The backbone with the delta folded in, and its tokenizer: a checkpoint that knows nothing of methods."""
    _check_free(folder)
    try:
        built.method.merge(built.model)
    except NotApplicable as error:
        raise UsageError(f"{error}.") from error
    tied_weights.declare(built.model)
    _make(folder)
    built.model.config._name_or_path = built.cell.model.name  # not the folder of this machine
    built.model.save_pretrained(folder)
    _complete(built.model.config, folder / "config.json")
    held = weight_files.tokenizer_folder(built.cell.model)
    if held is not None:
        for path in (held / name for name in weight_files.TOKENIZER_FILES if (held / name).is_file()):
            atomic_files.copy(path, folder / path.name, linked=True)


def _complete(config: PreTrainedConfig, file: Path) -> None:
    """Write out what transformers left out of `file` and would read back as something else.

    It leaves out what is its own default even where the family has another one, as BART has of three labels.
    """
    again, held = type(config).from_pretrained(file).to_dict(), config.to_dict()
    lost = {name: value for name, value in held.items() if name in again and again[name] != value and name[0] != "_"}
    if lost:
        atomic_files.write_json(file, atomic_files.read_json(file) | lost)


@dataclass(frozen=True)
class Described:
    """What a delta belongs to. model: name, family, revision and kind of weights. task: by name, as objective.

    precision: what was set of `model.dtype` and `recipe.precision` where it was trained.
    """

    method: MethodConfig
    model: Mapping[str, str]
    task: str
    objective: str
    seed: int
    precision: Mapping[str, str]


def described(folder: Path) -> Described:
    """`method.json`. UsageError for a folder without one, and for one of another format."""
    try:
        told = atomic_files.read_json(folder / METHOD, atomic_files.is_hub_link(folder / METHOD))
        name, version = told["method"].pop("name"), told["format"]
        model = {field: str(told["model"][field]) for field in BACKBONE}
        computed = told.get("precision") or {}  # older files do not tell it
        precision = {field: str(computed[field]) for field in PRECISION if field in computed}
        method = MethodConfig(name, told["method"])
        found = Described(method, model, told["task"], told["objective"], told["seed"], precision)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder / METHOD}: expected what a delta belongs to, as JSON ({error!r})") from error
    if version != FORMAT:
        raise UsageError(f"{folder / METHOD}: its format is {version!r}, this version reads {FORMAT}")
    return found


def load(folder: Path, cell: Cell) -> Built:
    """A delta on the backbone of `cell`, whose method it takes the place of. UsageError where it does not fit."""
    told, model = described(folder), identity.to_json(cell)["model"]
    for field in BACKBONE[1:]:
        if told.model[field] != model[field]:
            raise UsageError(
                f"{folder}: this delta is for another backbone, {told.model['name']}: {field} {told.model[field]} "
                f"was expected, {cell.model.name} has {model[field]}"
            )
    state, own = finished_model.tensors(folder / TENSORS), replace(cell, method=told.method)
    backbone = finished_model.backbone(own)
    method = finished_model.attached(own, backbone)
    try:
        load_delta_state(backbone, state)
    except UsageError as error:
        raise UsageError(f"{folder / TENSORS}: {error}") from error
    return Built(own, backbone, method)


def from_peft(folder: Path, cell: Cell) -> Built:
    """PEFT's adapter files on the backbone of `cell`; the method is told by them."""
    model = finished_model.backbone(cell)
    own = replace(cell, method=method_of(folder, model))
    method = finished_model.attached(own, model)
    read_peft(model, method, folder)
    return Built(own, model, method)


def _leans_on_parents(model: nn.Module) -> bool:
    """Whether a delta holds tensors that did not train: another cell's."""
    added = (module for module in model.modules() if isinstance(module, Delta))
    return any(not p.requires_grad for module in added for p in module.parameters())


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--to {folder}: there is something there already; name a new folder.")


def _make(folder: Path) -> None:
    _check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
