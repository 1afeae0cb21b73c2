"""recipe.dropout reaches every place of every family where something is dropped while a model trains."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import ModelConfig
from harness.errors import NotApplicable
from harness.models import backbone
from harness.models.head import Head
from tests.methods.toys import PAD, TOYS, V

HEADS = {
    "seq2seq": Head("seq2seq_lm"),
    "masked": Head("masked_lm"),
    "causal": Head("causal_lm"),
    "classifier": Head("sequence_classification", 3),
}
CASES = [(key, kind) for key, toy in TOYS.items() for kind in dict.fromkeys((toy.kind, "classifier"))]


def loaded(key: str, kind: str, folder: Path, dropout: float) -> Any:
    """The toy, whose own configuration drops values and layers."""
    settings = TOYS[key].build().config.to_dict()
    for name in settings:
        if re.search("dropout|pdrop|layerdrop|jitter", name) and not isinstance(settings[name], bool):
            settings[name] = 0.2
    (folder / "config.json").write_text(json.dumps(settings))
    config = ModelConfig(
        name=key, family=settings["model_type"], path=str(folder), weights="random", attention=TOYS[key].attention[0]
    )
    try:
        return backbone.load(config, HEADS[kind], 0, dropout)
    except NotApplicable as reason:
        pytest.skip(str(reason))


def run(model: Any, kind: str) -> torch.Tensor:
    torch.manual_seed(0)
    ids = torch.randint(3, V, (2, 7))
    given = {"decoder_input_ids": ids} if kind == "seq2seq" else {}
    ids = torch.cat((ids, torch.full((2, 1), 2)), 1) if kind == "classifier" else ids  # some look for an end
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, attention_mask=(ids != PAD).long(), **given).logits
    return logits


def shares(model: nn.Module) -> set[float]:
    """What the modules drop: layers of dropout, and numbers that attentions pass on."""
    found = {float(module.p) for module in model.modules() if "Dropout" in type(module).__name__}
    for module in model.modules():
        numbers = ((name, value) for name, value in vars(module).items() if isinstance(value, float))
        found |= {value for name, value in numbers if "dropout" in name or name.endswith("pdrop")}
    return found


@pytest.mark.parametrize(("key", "kind"), CASES)
def test_none_is_none_and_a_share_is_everywhere(key: str, kind: str, tmp_path: Path) -> None:
    model = loaded(key, kind, tmp_path, 0.0)
    assert shares(model) <= {0.0}
    evaluated = run(model.eval(), kind)
    for _ in range(2):
        torch.testing.assert_close(run(model.train(), kind), evaluated, rtol=0, atol=0)
    assert shares(loaded(key, kind, tmp_path, 0.4)) <= {0.4}


def test_layers_are_left_out_as_the_model_says_unless_nothing_is_dropped(tmp_path: Path) -> None:
    assert [loaded("opt", "causal", tmp_path, share).config.layerdrop for share in (0.0, 0.4)] == [0.0, 0.2]
