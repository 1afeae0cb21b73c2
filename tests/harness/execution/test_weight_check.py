"""A file that lacks a tensor is noticed before any weights are read, on every backbone."""

import logging
from pathlib import Path

import pytest

from harness.execution import weight_check
from harness.execution.weight_check import Absent
from harness.models import digest
from tests.methods.toys import TOYS

WHOLE = Absent([], [])


@pytest.mark.parametrize("name", sorted(TOYS))
def test_each_tensor_that_is_taken_away_is_missed(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    toy = TOYS[name]
    model = toy.build()
    model.save_pretrained(tmp_path)
    for parameter, tensor in model.named_parameters():
        tensor.requires_grad_(parameter.startswith(toy.heads or ("no head",)))
    present = digest.shapes(tmp_path)
    assert weight_check.absent(model, present) == WHOLE
    needed = set(weight_check._frozen(model)) - weight_check._loose(model)
    # Mixtral's files give the experts other names, and then a part outside the blocks may have another name, too.
    renamed = not present.keys() <= model.state_dict().keys()
    named = [name for name in present if name in needed and (weight_check._in_block(name) or not renamed)]
    seen = {tensor: weight_check.absent(model, [name for name in present if name != tensor]) for tensor in named}
    assert named
    assert {tensor: absent for tensor, absent in seen.items() if tensor not in absent.parts + absent.lost} == {}
