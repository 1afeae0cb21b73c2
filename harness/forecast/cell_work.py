"""The work of a cell in closed form: tokens that pass the model, and layers that are launched. Torch is not imported.

A training step of B rows of T tokens takes about 6 N B T operations, where N counts the parameters of the matrices (two
for each in the forward pass, four in the backward pass), and the launch of its L layers takes time that no row changes.
An evaluation takes 2 N operations for each token. Where a method's share differs, the rates that are measured with it
differ, too (duration.py).
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from tokenizers import Tokenizer

from harness.config.building import build
from harness.config.schema import Cell, ModelConfig, RecipeConfig
from harness.errors import UsageError
from harness.files import plain_files, strict_json
from harness.models import weight_files
from harness.training.objectives.registry import trains_nothing
from tasks import registry as tasks

LAUNCH = 1e8
"""Operations that take as long as the launch of one layer, forwards and backwards, on one core: measured with
micro-t5-nano and micro-t5-mini at 4, 16 and 64 rows."""
EVALUATION_TOKENS = RecipeConfig.evaluation_tokens
"""The tokens of one forward pass of an evaluation, by default. A forecast takes it for every cell."""
SAMPLED_ROWS = 64
LETTERS = 4.0
"""Letters of a token where the tokenizer is not on this machine."""
MATRICES, USUAL_LAYERS = 0.7, 12
"""The share of matrices outside the embedding, and the layers, of a backbone whose configuration is not here."""
_WIDTH = ("d_model", "hidden_size", "n_embd", "dim")
_DEPTH = ("num_layers", "num_hidden_layers", "n_layer", "n_layers", "encoder_layers")
_INNER = ("d_ff", "intermediate_size", "n_inner", "ffn_dim", "encoder_ffn_dim", "hidden_dim")


@dataclass(frozen=True)
class Size:
    """The size of a backbone. matrices: parameters that every token passes. layers: blocks that a token passes."""

    matrices: float
    layers: int


@dataclass(frozen=True)
class Reading:
    """What a cell reads. tokens: the mean of a row, input and target. rows: the sum over the sets that each evaluation
    scores.
    """

    tokens: float
    rows: int


@dataclass(frozen=True)
class Work:
    """What a cell does, and what it is.

    - fields: its method's fields as text. answer: how its task is answered (tasks/base.py).
    - steps, batch: of the training. evaluations: how often the sets are scored.
    """

    method: str
    fields: str
    model: str
    task: str
    objective: str
    answer: str
    steps: int
    batch: int
    evaluations: int
    reading: Reading

    def train(self, size: Size) -> float:
        """Return the operations of the training, its launches included."""
        return self.steps * (self.batch * self.reading.tokens * 6 * size.matrices + LAUNCH * size.layers)

    def evaluate(self, size: Size) -> float:
        """Return the operations of all evaluations, their launches included."""
        tokens = self.reading.rows * self.reading.tokens
        turns = max(1, math.ceil(tokens / EVALUATION_TOKENS))
        return self.evaluations * (tokens * 2 * size.matrices + turns * LAUNCH / 2 * size.layers)


def reading_of(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what fixes a cell's reading: cells (as JSON) with the same value read rows of the same lengths."""
    task = cell["task"]
    sizes = (task.get(name) for name in ("digest", "max_input_tokens", "validation_size", "test_size", "shots"))
    return (task["name"], cell["model"]["name"], cell["objective"], *sizes)


def of(cell: Mapping[str, Any], reading: Reading) -> Work:
    """Return the work of a cell, given as JSON."""
    recipe, task = cell["recipe"], cell["task"]["name"]
    steps, period = int(recipe.get("steps") or 0), int(recipe.get("evaluate_every") or 1)
    known = tasks.catalogue().get(task)
    if trains_nothing(cell["method"]["name"], cell["objective"]):
        steps = 0
    return Work(
        method=cell["method"]["name"],
        fields=strict_json.encode(dict(cell["method"]), sort_keys=True).decode(),
        model=cell["model"]["name"],
        task=task,
        objective=cell["objective"],
        answer=known.answer if known else "",
        steps=steps,
        batch=int(recipe.get("batch_size") or 1),
        evaluations=1 + math.ceil(steps / period),
        reading=reading,
    )


def read(record: Mapping[str, Any]) -> Reading:
    """Return what a finished cell has read, by its record. tokens: 0 where nothing was trained."""
    clock, scores = record.get("time") or {}, (record.get("scores") or {}).get("best") or {}
    counts = [figures.get("n") for name, figures in (scores.get("sets") or {}).items() if name != "train_sample"]
    rows = sum(count for count in counts if isinstance(count, int))
    tokens, examples = clock.get("tokens_per_s"), clock.get("examples_per_s")
    if not isinstance(tokens, int | float) or not isinstance(examples, int | float) or not examples:
        return Reading(0.0, rows)
    return Reading(tokens / examples, rows)


def planned_reading(cell: Cell) -> Reading:
    """Return what a cell will read. The mean length is that of about SAMPLED_ROWS rows of train.

    Raise UsageError or OSError where the task's rows are not on this machine.
    """
    task = tasks.load(cell.task)
    splits = task.splits
    rows = len(splits.validation) + sum(map(len, splits.tests.values()))
    some = splits.train[:: max(1, len(splits.train) // SAMPLED_ROWS)][:SAMPLED_ROWS]
    count = _counter(cell.model)
    lengths = [min(task.max_input_tokens, count(task.text(row))) + count(task.target(row)) for row in some]
    return Reading((1 + cell.task.shots) * sum(lengths) / max(1, len(lengths)), rows)


def size(cell: Cell) -> Size | None:
    """Return the size of a cell's backbone by its configuration.

    None where the configuration is not on this machine, or names no width or depth.
    """
    with suppress(UsageError, OSError, ValueError):
        return _size(cell.model)
    return None


def size_of_record(record: Mapping[str, Any]) -> Size:
    """Return the size of a finished cell's backbone: by its configuration, else by its number of parameters and
    USUAL_LAYERS; a million parameters where the record does not count them.
    """
    with suppress(UsageError, OSError, ValueError, KeyError, TypeError):
        if size := _size(_model(strict_json.encode(record["cell"]["model"]))):
            return size
    count = (record.get("parameters") or {}).get("backbone")
    return Size(MATRICES * count, USUAL_LAYERS) if isinstance(count, int) and count > 0 else Size(1e6, USUAL_LAYERS)


@lru_cache(maxsize=256)
def _model(content: bytes) -> ModelConfig:
    """Return a model by its JSON: many finished cells are of few models."""
    return build(ModelConfig, strict_json.parse(content), "model")


@lru_cache(maxsize=256)
def _config(path: str) -> Mapping[str, Any]:
    content = plain_files.read_json(path)
    return content if isinstance(content, dict) else {}


def _size(model: ModelConfig) -> Size | None:
    config: Mapping[str, Any] = model.architecture or {}
    if not config:
        if model.source == "hub" and not model.path:  # it would be downloaded
            return None
        config = _config(str(weight_files.folder(model) / "config.json"))
    width, depth, inner = (_number(config, names) for names in (_WIDTH, _DEPTH, _INNER))
    if width is None or depth is None:
        return None
    # A feed-forward with a gate has three matrices; LLaMA and those after it have one, as they have RMS norms.
    gated = "rms_norm_eps" in config or "gated" in str(config.get("feed_forward_proj"))
    layer = 4 * width**2 + (3 if gated else 2) * width * (inner or 4 * width)
    return Size(float(depth * layer), depth + (_number(config, ("num_decoder_layers", "decoder_layers")) or 0))


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first of these fields that is a positive whole number."""
    values = (config.get(name) for name in names)
    return next((value for value in values if type(value) is int and value > 0), None)


def _counter(model: ModelConfig) -> Callable[[str], int]:
    """Return a function text -> its tokens, by the model's tokenizer where it is on this machine."""
    with suppress(UsageError, OSError):
        local = model.source != "hub" or model.path or model.tokenizer
        folder = weight_files.tokenizer_folder(model) if local else None
        if folder is not None and (folder / "tokenizer.json").is_file():
            return partial(_tokens, _tokenizer(str(folder / "tokenizer.json")))
    return lambda text: math.ceil(len(text) / LETTERS)


@lru_cache(maxsize=8)
def _tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer of a file, without the padding and the cut that some files ask for."""
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _tokens(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)
