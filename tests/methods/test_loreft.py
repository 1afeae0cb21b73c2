"""LoReFT: what changes, and at which positions."""

from typing import Any

import pytest
import torch

from harness.errors import UsageError
from harness.prompt_width import prompt_of, prompt_width
from harness.training.decoding import Prompt
from methods.backbone.sizes import shape
from methods.loreft import Intervention, Places
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make
from tests.methods.independent_count import count


def interventions(model: Any) -> list[Intervention]:
    return [module for module in model.modules() if isinstance(module, Intervention)]


def found(mask: list[list[int]], first: int, last: int) -> list[list[int]]:
    """The positions of each row that change, in order, by a mask."""
    places = Places(first, last)
    places.find(torch.tensor(mask))
    rows: list[list[int]] = [[] for _ in mask]
    for index, there in places.groups:
        for row, (own, used) in enumerate(zip(index.tolist(), there.tolist(), strict=True)):
            rows[row] += [place for place, use in zip(own, used, strict=True) if use]
    return rows


@pytest.mark.parametrize(
    ("mask", "first", "last", "expected"),
    [
        ([[1, 1, 1, 1, 1, 1]], 2, 2, [0, 1, 4, 5]),
        ([[0, 0, 1, 1, 1, 1]], 1, 2, [2, 4, 5]),
        ([[1, 1, 1, 1, 0, 0]], 1, 2, [0, 2, 3]),
        ([[0, 0, 0, 1, 1, 1]], 2, 2, [3, 4, 5]),
        ([[0, 0, 0, 0, 0, 1]], 2, 2, [5]),
        ([[1, 1, 0, 0, 0, 0]], 0, 3, [0, 1]),
        ([[0, 1, 1, 1, 1, 0]], 3, 0, [1, 2, 3]),
    ],
)
def test_the_positions_are_a_row_s_own_and_each_changes_once(
    mask: list[list[int]], first: int, last: int, expected: list[int]
) -> None:
    assert found(mask, first, last) == [expected]


def test_the_end_of_a_prompt_is_where_its_answer_begins() -> None:
    mask = [[0, 0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]
    with prompt_of(4):
        assert found(mask, 1, 1) == [[2, 3], [0, 3]]
    assert prompt_width() is None
    assert found(mask, 1, 1) == [[2, 5], [0, 6]]


@torch.no_grad()
def test_a_change_is_the_paper_s_formula() -> None:
    """h + R^T (W h + b - R h), with a set of its own for the last positions."""
    model: Any = backbone(TOYS["llama-gqa"])
    attach("loreft", model, rank=3, first=1, last=1)
    disturb(model, sd=0.3)
    made = interventions(model)[0]
    made.places.find(torch.ones(2, 5))
    h = torch.randn(2, 5, 16)
    after = made(h)
    for group, place in ((0, 0), (1, 4)):
        R, W, b = made.rows()[group], made.weight[group], made.bias[group]
        torch.testing.assert_close(R @ R.T, torch.eye(3), rtol=1e-5, atol=1e-5)
        for row in range(2):
            x = h[row, place]
            torch.testing.assert_close(after[row, place], x + R.T @ (W @ x + b - R @ x), rtol=1e-5, atol=1e-5)
    assert torch.equal(after[:, 1:4], h[:, 1:4])


@pytest.mark.parametrize("first", [0, 2])
@torch.no_grad()
def test_a_decoder_reads_an_answer_after_the_same_prompt_in_training_and_in_generation(first: int) -> None:
    """The whole text at once, as the loss has it, and with the cache of the prompt, as generation has it."""
    model: Any = backbone(TOYS["llama-gqa"])
    attach("loreft", model, first=first)
    disturb(model, sd=0.5)
    data = batch(TOYS["llama-gqa"])
    prompt = Prompt.of(data["input_ids"], data["attention_mask"])
    answer, mask = torch.randint(3, 60, (3, 4)), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]])
    next_token, cache = prompt.read(model)
    later = prompt.go_on(model, answer, cache, mask)
    whole = prompt.extended(answer, mask)
    with prompt_of(prompt.ids.shape[1]):
        at_once = whole.logits(model, 4)
    torch.testing.assert_close(at_once[:, 0], next_token, rtol=1e-4, atol=1e-4)
    for step in range(3):
        rows = mask[:, step].bool()
        torch.testing.assert_close(at_once[rows, step + 1], later[rows, step], rtol=1e-4, atol=1e-4)
    unmarked = whole.logits(model, 4)
    assert not torch.allclose(unmarked[:, 0], next_token, atol=1e-3), "without the mark the last positions are others"


def test_an_encoder_decoder_changes_in_its_encoder_alone() -> None:
    model: Any = backbone(TOYS["t5"])
    method = attach("loreft", model)
    assert method.notes(model) == {"interventions": 2}
    assert len(interventions(model.encoder)) == 2
    assert not interventions(model.decoder)


@pytest.mark.parametrize(
    ("fields", "sets"), [({}, 2), ({"tied": True}, 1), ({"first": 0}, 1), ({"last": 0}, 1), ({"last": 7}, 2)]
)
def test_the_count_is_that_of_its_page(fields: dict[str, Any], sets: int) -> None:
    toy = TOYS["bert-head"]
    model = backbone(toy)
    size = shape(model)
    method = attach("loreft", model, rank=3, **fields)
    assert method.closed_form(size) == count(model, toy.heads)["delta"] == 2 * sets * (2 * 3 * 16 + 3)


def test_padding_on_either_side_changes_nothing() -> None:
    model: Any = backbone(TOYS["roberta-masked"])
    attach("loreft", model)
    disturb(model, sd=0.3)
    data = batch(TOYS["roberta-masked"])
    whole = logits(model, TOYS["roberta-masked"])
    with torch.no_grad():
        alone = model(input_ids=data["input_ids"][1:2, :6], attention_mask=torch.ones(1, 6)).logits[0]
    torch.testing.assert_close(whole[9:15], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parts", [["loreft", "prompt length=3"], ["prompt length=3", "loreft"]])
def test_a_part_that_adds_positions_is_refused(parts: list[str]) -> None:
    toy = TOYS["llama-gqa"]
    model = backbone(toy)

    def run() -> None:
        attach("combine", model, parts=parts)
        model(**batch(toy))

    with pytest.raises(UsageError, match=r"method\.parts: loreft counts positions, and another part adds some"):
        run()


def test_a_part_that_adds_none_is_not() -> None:
    model = backbone(TOYS["llama-gqa"])
    attach("combine", model, parts=["loreft", "lora rank=2"])
    model(**batch(TOYS["llama-gqa"])).loss.backward()


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"rank": 17}, "method.rank=17: the rank must be at most 16, the width of the model"),
        ({"first": 0, "last": 0}, "method.first=0: method.first and method.last are not both 0"),
        ({"last": -1}, "method.last=-1: the number of positions must be at least 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("loreft", **fields).attach(backbone(TOYS["t5"]))
