"""methods/backbone/matrix.json says what goes on what.

To write it anew: python -m tests.methods.backbone.test_applicability
"""

import copy
import json
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from harness.cli.listings import listing
from harness.errors import NotApplicable
from methods.backbone.applicability import FILE, YES, matrix
from methods.backbone.families import FAMILIES
from tests.methods.conftest import NAMES, TOYS, Toy, backbone, make

EXTRA = "pip install"


def found(toys: Mapping[str, Toy]) -> dict[str, dict[str, str]]:
    """method -> toy -> "yes" or the reason, by attaching."""
    with torch.device("meta"):
        models = {key: backbone(toy) for key, toy in toys.items()}
    return {name: {key: _answer(name, copy.deepcopy(model)) for key, model in models.items()} for name in NAMES}


def known(toys: Mapping[str, Toy]) -> dict[str, dict[str, str]]:
    """What is found, but for methods whose extra is not installed here: what the file says of them."""
    before = matrix()
    return {
        name: {key: before.get(name, row).get(key, now) if EXTRA in now else now for key, now in row.items()}
        for name, row in found(toys).items()
    }


def _answer(name: str, model: nn.Module) -> str:
    try:
        make(name).attach(model)
    except NotApplicable as reason:
        return str(reason)
    return YES


@pytest.mark.parametrize("usual", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_file_is_what_attaching_says(usual: bool) -> None:
    """But for methods whose extra is not installed here."""
    toys = {key: toy for key, toy in TOYS.items() if toy.usual == usual}
    said = {name: {key: row[key] for key in toys} for name, row in matrix().items()}
    assert known(toys) == said, "run: python -m tests.methods.backbone.test_applicability"
    assert EXTRA not in json.dumps(said), "made where an extra was not installed"


def test_every_family_is_there() -> None:
    kinds = {backbone(toy).config.model_type for toy in TOYS.values()}
    assert all(kinds & set(row.model_types) for row in FAMILIES)
    assert len(matrix()) == len(NAMES)
    assert all(list(row) == list(TOYS) for row in matrix().values())


def test_most_pairs_can_be_and_the_rest_have_a_reason() -> None:
    answers = [answer for row in matrix().values() for answer in row.values()]
    assert answers.count(YES) > 0.8 * len(answers)
    assert all(answer == YES or len(answer) > 20 for answer in answers)


def test_the_listing_shows_it() -> None:
    rows = {row["name"]: row for row in listing("methods")}
    assert rows["lora"]["families"] == matrix()["lora"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(known(TOYS), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
