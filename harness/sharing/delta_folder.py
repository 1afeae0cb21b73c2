"""Trained tensors in a folder of their own (`delta.safetensors`) with a description of what they belong to
(`method.json`).

Other forms are PEFT's adapter files, and a merged backbone saved as transformers saves a model. Nothing is pickled or
unpickled. The commands write all of them into a folder of `new_folder.py`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.utils import logging

from harness.config.schema import Cell, MethodConfig
from harness.errors import UsageError
from harness.files import atomic_files, plain_files
from harness.models import tensor_reader, weight_files
from harness.sharing import scored_task
from harness.sharing.forms import FILES, METHOD, TENSORS, wrong
from harness.sharing.scored_task import ScoredTask
from harness.store import identity
from harness.training import finished_model
from harness.training.finished_model import Built
from methods.attachment import tied_weights
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.backbone.trainable_parameters import Delta
from methods.peft_files.detect import method_of
from methods.peft_files.export import read_peft, write_peft

FORMAT = 1
BACKBONE = ("name", "family", "revision", "weights")
PRECISION = ("model.dtype", "recipe.precision")


def write(built: Built, folder: Path, origin: Mapping[str, Any]) -> None:
    """Write `delta.safetensors` and `method.json`. origin: the source of the tensors, for the reader.

    Raises UsageError for a delta that depends on other cells, and for a method without trainable parameters.
    """
    state = delta_state(built.model)
    if not state or (built.cell.parents and _leans_on_parents(built)):
        raise UsageError(
            f"a delta of {built.cell.method.name} cannot be exported alone: it depends on the cells it builds on."
            if built.cell.parents
            else f"method {built.cell.method.name} trained nothing here, so there is no delta."
        )
    content = identity.to_json(built.cell, ("identity", "provenance"))
    description = {
        "format": FORMAT,
        "method": content["method"],
        "model": {name: content["model"][name] for name in BACKBONE},
        "task": built.cell.task.name,
        "rows": scored_task.described(built.cell.task),
        "objective": built.cell.objective,
        "seed": built.cell.seed,
        "precision": {"model.dtype": built.cell.model.dtype, "recipe.precision": built.cell.recipe.precision},
        "origin": dict(origin),
    }
    folder.mkdir(parents=True, exist_ok=True)
    atomic_files.write_tensors(folder / TENSORS, state, tensor_reader.header(state))
    atomic_files.write_json(folder / METHOD, description)


def write_to_peft(built: Built, folder: Path) -> None:
    """Write PEFT's adapter files. Raises UsageError for a method that PEFT does not have."""
    model = built.cell.model
    with _another_form():
        write_peft(built.model, built.method, folder, model.location if model.source == "hub" else None)


@contextmanager
def _another_form() -> Iterator[None]:
    """Add the form that every method has to an error of one that this method lacks."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}. Take --format deltabench, which holds every method.") from error


def write_merged(built: Built, folder: Path) -> None:
    """Write the backbone with the delta merged, and its tokenizer: a checkpoint that needs no method.

    Raises UsageError for a method that cannot be merged.
    """
    with _another_form():
        built.method.merge(built.model)
    tied_weights.declare(built.model)
    folder.mkdir(parents=True, exist_ok=True)
    built.model.config._name_or_path = built.cell.model.name  # without this machine's folder
    logging.disable_progress_bar()  # it would come into a pipe, too
    built.model.save_pretrained(folder)
    for path in folder.iterdir():
        atomic_files.give_usual_mode(path)
    _complete(built.model.config, folder / "config.json")
    tokenizer = weight_files.tokenizer_folder(built.cell.model)
    if tokenizer is not None:
        for path in (tokenizer / name for name in weight_files.TOKENIZER_FILES if (tokenizer / name).is_file()):
            atomic_files.copy(path, folder / path.name, linked=True)


def _complete(config: PreTrainedConfig, file: Path) -> None:
    """Write the fields that transformers left out of `file` and would read back with other values.

    It leaves out a field at its own default even where the family has another one, as BART has three labels.
    """
    reread, wanted = type(config).from_pretrained(file).to_dict(), config.to_dict()
    lost = {
        name: value for name, value in wanted.items() if name in reread and reread[name] != value and name[0] != "_"
    }
    if lost:
        atomic_files.write_json(file, plain_files.read_json(file) | lost)


@dataclass(frozen=True)
class Described:
    """The description of a delta.

    - model: name, family, revision and kind of weights. task: with its rows. objective: by name.
    - precision: the values of `model.dtype` and `recipe.precision` of its training, as far as they are known.
    """

    method: MethodConfig
    model: Mapping[str, str]
    task: ScoredTask
    objective: str
    seed: int
    precision: Mapping[str, str]


def described(folder: Path) -> Described:
    """Return the content of `method.json`. Raises UsageError for a folder without one, and for one of
    another format.
    """
    if not (folder / METHOD).exists() and (folder / FILES["peft"][0]).exists():
        raise UsageError(
            f"{folder}: these are PEFT's adapter files. `deltabench delta import {folder} --to NEW model=NAME` makes a "
            "folder of them that can be scored."
        )
    try:
        content = plain_files.read_json(folder / METHOD, plain_files.is_hub_link(folder / METHOD))
        name, version = content["method"].pop("name"), content["format"]
        model = {field: str(content["model"][field]) for field in BACKBONE}
        computed = content.get("precision") or {}  # older files lack it
        precision = {field: str(computed[field]) for field in PRECISION if field in computed}
        method = MethodConfig(name, content["method"])
        task = scored_task.read(content["task"], content.get("rows"))  # older files lack the latter
        description = Described(method, model, task, content["objective"], content["seed"], precision)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise UsageError(f"{folder / METHOD}: expected a delta's description as JSON ({wrong(error)}).") from error
    if version != FORMAT:
        raise UsageError(f"{folder / METHOD}: its format is {version!r}, this version reads {FORMAT}")
    return description


def load(folder: Path, cell: Cell) -> Built:
    """Return the delta of a folder on the backbone of `cell`, with the folder's method instead of the cell's.

    Raises UsageError where it does not fit.
    """
    description, model = described(folder), identity.to_json(cell)["model"]
    for field in BACKBONE[1:]:
        if description.model[field] != model[field]:
            raise UsageError(
                f"{folder}: this delta is for another backbone, {description.model['name']}: "
                f"{field} {description.model[field]} was expected, {cell.model.name} has {model[field]}"
            )
    state, own = finished_model.tensors(folder / TENSORS, "Get it again."), replace(cell, method=description.method)
    backbone = finished_model.backbone(own)
    method = finished_model.attached(own, backbone)
    try:
        load_delta_state(backbone, state)
    except UsageError as error:
        raise UsageError(f"{folder / TENSORS}: {error}") from error
    return Built(own, backbone, method)


def from_peft(folder: Path, cell: Cell) -> Built:
    """Return PEFT's adapter files on the backbone of `cell`; the files determine the method."""
    model = finished_model.backbone(cell)
    own = replace(cell, method=method_of(folder, model))
    method = finished_model.attached(own, model)
    read_peft(model, method, folder)
    return Built(own, model, method)


def _leans_on_parents(built: Built) -> bool:
    """Return whether a model has frozen tensors of other cells: in its deltas, or in place of the backbone's own."""
    added = (module for module in built.model.modules() if isinstance(module, Delta))
    if any(not p.requires_grad for module in added for p in module.parameters()):
        return True
    plain = dict(finished_model.backbone(built.cell).named_parameters())
    frozen = ((name, p) for name, p in built.model.named_parameters() if name in plain and not p.requires_grad)
    return any(not torch.equal(p, plain[name]) for name, p in frozen)
