"""Every model of the Hub can be outlined without it, has the size its YAML says, and reads text as bytes."""

import re

import pytest
import yaml

from harness import assets
from harness.config import conf_files
from harness.config.building import build
from harness.config.schema import MethodConfig, ModelConfig
from harness.errors import UsageError
from harness.execution import preflight
from harness.models import backbone as models
from harness.models import tokenizer
from harness.training.objectives import registry as objectives
from methods.backbone.roles import has_family

YAML = {path.stem: path.read_text() for path in sorted((assets.conf() / "model").glob("*.yaml"))}
HUB = [name for name, content in YAML.items() if "architecture" in yaml.safe_load(content)]
UNITS = {"M": 1e6, "B": 1e9}


def config(name: str, **changes: object) -> ModelConfig:
    return build(ModelConfig, {**yaml.safe_load(YAML[name]), **changes}, "model")


@pytest.mark.parametrize("name", HUB)
def test_the_architecture_has_as_many_parameters_as_the_yaml_says(name: str) -> None:
    model = config(name)
    assert model.recipe in conf_files.files("recipe")
    backbone = models.outline(model, objectives.head(model.objective, 2))
    said, unit = re.findall(r"([\d.]+)([MB]) parameters", YAML[name])[0]
    counted = sum(p.numel() for p in backbone.parameters()) / UNITS[unit]
    digits = len(said.partition(".")[2])
    assert counted == pytest.approx(float(said), abs=10**-digits, rel=0.01)
    assert has_family(backbone)


@pytest.mark.parametrize("name", ["t5-base", "llama-7b", "roberta-large", "starcoderbase-1b"])
def test_a_bare_architecture_takes_a_method_and_text_as_bytes(name: str) -> None:
    bare = config(name, weights="random")
    assert preflight.preflight([(MethodConfig("lora", {}), bare, bare.objective)]) == [None, None]
    words = tokenizer.load(bare)
    [ids], _ = words.inputs(["año £5"], 64)
    assert words.decode([ids]) == ["año £5"]
    assert len(ids) == len("año £5".encode())
    assert words.mask is None or words.encode(words.mask.text) == [words.mask.token]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": {"num_layer": 2}}, r"t5 has no field 'num_layer'.*num_layers"),
        ({"architecture": {"d_model": "wide"}}, r"model\.architecture: transformers does not take it for t5"),
        ({"architecture": {"vocab_size": 300, "d_model": 8}}, r"no room for text as bytes"),
    ],
)
def test_an_architecture_that_cannot_be_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tokenizer.load(config("t5-small", weights="random", **changes))
