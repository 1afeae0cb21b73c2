"""An answer whose tokens are those of the target scores as the target, however a tokenizer spaces its words."""

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness import assets
from harness.config.building import build
from harness.config.schema import ModelConfig
from harness.models import tokenizer
from harness.models.text_tokens import Text
from harness.training import score
from tasks.metrics.label_metrics import METRICS

YAML = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((assets.conf() / "model").glob("*.yaml"))}
EMBEDDED = [name for name, content in YAML.items() if content.get("source") == "embedded"]
NUMBERS = ("2.5", "4.8", "3,5", "-4", "-2.5")
WORDS = ("yes .", "yes.", "yes-no", "good!", "a, b")


def text_of(name: str) -> Text:
    return tokenizer.load(build(ModelConfig, YAML[name], "model"))


def scored(text: Text, targets: list[Any], made: list[str]) -> list[str]:
    """Return what a score compares, where the model has made the tokens of these texts."""
    answers = text.decode(text.answers(made))
    return score._as_targets(SimpleNamespace(text=text), targets, answers)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_number_is_read_back_as_a_number(name: str) -> None:
    text = text_of(name)
    known = [number for number in NUMBERS if all(map(text.knows, text.encode(number)))]
    assert text.decode(text.answers(known)) == known
    assert "2.5" in known
    assert text.decode([text.encode("5 - 4")]) == ["5 - 4"]
    for metric in ("exact_match", "number_accuracy", "text_accuracy"):
        assert METRICS[metric](known, scored(text, known, known))[metric] == 1
    assert METRICS["number_accuracy"](["2.5"], scored(text, ["2.5"], ["4.8"]))["parse_failures"] == 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_tokens_of_a_target_are_the_target(name: str) -> None:
    text = text_of(name)
    known = [word for word in WORDS if all(map(text.knows, text.encode(word)))]
    assert len(known) > 1
    assert scored(text, known, known) == known
    assert scored(text, [[word, "yes"] for word in known], known) == known
    assert scored(text, ["yes"] * len(known), known) == text.decode(text.answers(known))  # no target is near


def test_a_target_with_an_unknown_word_is_no_shorter_one() -> None:
    text = text_of("micro-t5-nano")
    assert not all(map(text.knows, text.encode("zyzzyva")))
    assert scored(text, ["yes zyzzyva"], ["yes"]) == ["yes"]
