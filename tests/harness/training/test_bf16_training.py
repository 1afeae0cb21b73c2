"""A frozen backbone in half precision: what trains is in single precision, for every method; a step is finite."""

from dataclasses import replace

import pytest
import torch

from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.models import backbone, tokenizer
from harness.models.head import Head
from harness.training import optimizers
from harness.training.objectives import registry as objectives
from harness.training.objectives.registry import Reading
from methods import registry as methods
from methods.backbone.trainable_parameters import trainable
from tasks.base import Task
from tests import turns

RECIPE = RecipeConfig(precision="bf16", learning_rate=1e-3)


@pytest.mark.parametrize(
    "method", turns.every_second(sorted(name for name, entry in methods.catalogue().items() if not entry.parents))
)
def test_what_trains_is_in_single_precision_and_the_rest_in_half(
    method: str, decoder: ModelConfig, label_task: Task
) -> None:
    half = replace(decoder, dtype="bf16")
    objective = objectives.make("causal", label_task, tokenizer.load(half), Reading(precision="bf16"))
    model = backbone.load(half, objective.head, seed=0)
    before = {id(p) for p in model.parameters()}
    try:
        made = methods.make(MethodConfig(method, {}))
        made.attach(model)
    except UsageError as reason:
        pytest.skip(str(reason))
    backbone.masters(model)
    assert {p.dtype for _, p in trainable(model)} <= {torch.float32}
    kept = {p.dtype for p in model.parameters() if id(p) in before and not p.requires_grad and p.ndim > 1}
    assert kept <= {torch.bfloat16, torch.uint8, torch.int8}  # a quantised base is in bytes
    if not any(True for _ in trainable(model)):
        return
    model.train()
    optimizer = optimizers.make(model, RECIPE)
    batch = objective.encode(label_task.splits.train[:4]).batch(range(4))
    loss = objective.loss(model, batch)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        predicted = objective.predict(model.eval(), batch)
    assert torch.isfinite(loss)
    assert predicted.loss == predicted.loss, "not a number"


def test_a_head_trains_in_single_precision(bert: ModelConfig) -> None:
    model = backbone.load(replace(bert, dtype="bf16"), Head("sequence_classification", 2), seed=0)
    assert {p.dtype for _, p in trainable(model)} == {torch.float32}
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16


def test_the_precision_of_a_file_is_not_that_of_the_backbone(t5: ModelConfig) -> None:
    """A publisher's config.json may name the precision that it was saved in."""
    for dtype, wanted in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        config = replace(t5, dtype=dtype)
        for model in (backbone.load(config, Head("seq2seq_lm"), 0), backbone.outline(config, Head("seq2seq_lm"))):
            assert {p.dtype for p in model.parameters() if p.ndim > 1} == {wanted}
            assert {p.dtype for p in model.parameters() if p.ndim == 1} == {torch.float32}


def test_a_half_backbone_under_single_precision_is_refused() -> None:
    why = r"model\.dtype=bf16: trainable parameters stay in fp32.*recipe\.precision=bf16"
    with pytest.raises(UsageError, match=why):
        grid.expand([{"model.dtype": "bf16"}])
    [cell] = grid.expand([{"model.dtype": "bf16", "recipe.precision": "bf16"}])
    assert cell.model.dtype == "bf16"


@pytest.mark.parametrize("field", ["model.dtype", "recipe.precision"])
@pytest.mark.parametrize("value", ["fp16", "float16"])
def test_another_half_precision_is_refused(field: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"{field}={value}: it must be one of fp32, bf16\."):
        grid.expand([{field: value}])
