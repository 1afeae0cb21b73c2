"""A frozen part computes each row once, and nothing else changes."""

import pytest
import torch

from harness.config.schema import ModelConfig
from harness.models import backbone
from harness.training.frozen import remembered
from harness.training.frozen.remembering import remembering
from harness.training.objectives import registry as objectives
from tests.harness.training.frozen.conftest import Train, alike


@pytest.mark.parametrize(
    ("name", "objective", "method", "part"),
    [
        ("bert", "classifier", "linear_probe", "the body"),
        ("t5", "seq2seq", "last_layer", "the encoder"),
        ("t5", "seq2seq", "lora", None),
        ("bert", "classifier", "bitfit", None),
    ],
)
def test_results_are_the_same_and_a_frozen_part_is_asked_once_per_row(
    train: Train, name: str, objective: str, method: str, part: str | None
) -> None:
    (plain, one), (work, other) = train(name, objective, method, False), train(name, objective, method, True)
    assert plain.remembered is None
    assert alike(one, other)
    assert [row["scores"] for row in plain.curve] == [row["scores"] for row in work.curve]
    if part is None:
        assert work.remembered is None
        return
    assert work.remembered is not None
    assert work.remembered.name == part
    assert work.remembered.given > work.remembered.computed
    assert part in work.remembered.note()
    assert "forward" not in vars(work.model.base_model)


@pytest.mark.parametrize("reuse", [True, False])
def test_a_method_whose_size_follows_from_a_budget_trains(train: Train, reuse: bool) -> None:
    work, fitted = train("t5", "seq2seq", "lora", reuse, {"budget": 0.05})
    assert fitted.last.step == 12
    assert work.remembered is None


def test_with_dropout_only_evaluation_is_remembered(train: Train) -> None:
    _, plain = train("bert", "classifier", "linear_probe", False, dropout=0.1)
    work, fitted = train("bert", "classifier", "linear_probe", True, dropout=0.1)
    assert alike(plain, fitted)
    assert work.remembered is not None
    assert work.remembered.drops
    calls = work.remembered.given + work.remembered.computed
    assert calls == 4 * work.remembered.computed, "four evaluations, of which the first computes"


def test_no_more_than_the_limit_is_kept(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LIMIT", 1)
    _, plain = train("bert", "classifier", "linear_probe", False)
    work, fitted = train("bert", "classifier", "linear_probe", True)
    assert alike(plain, fitted)
    assert work.remembered is not None
    assert len(work.remembered.rows) == 1


def test_what_depends_on_trained_tensors_is_not_remembered(t5: ModelConfig) -> None:
    """Such as an encoder whose embeddings a prompt outside of it extends."""
    model = backbone.load(t5, objectives.head("seq2seq", 0), seed=0, dropout=0.0)
    outside = torch.nn.Parameter(torch.ones(1))
    model.get_encoder().register_forward_hook(lambda part, inputs, output: output)
    model.get_encoder().block[0].register_forward_hook(lambda part, inputs, output: (output[0] * outside, *output[1:]))
    ids = torch.ones(2, 3, dtype=torch.long)
    with remembering(model) as memory:
        for _ in range(2):
            states = model.get_encoder()(input_ids=ids, attention_mask=ids, return_dict=True).last_hidden_state
            assert states.requires_grad
        assert memory is not None
        assert memory.off
        assert not memory.rows
