"""A file that lacks a tensor is noticed before any weights are read, on every backbone."""

import re
from pathlib import Path

import pytest

from harness.execution import weight_check
from harness.execution.weight_check import Absent
from harness.models import digest
from tests.methods.toys import Toy, parameters

WHOLE = Absent([], [])


@pytest.mark.parametrize("toy", parameters())
def test_each_tensor_that_is_taken_away_is_missed(toy: Toy, tmp_path: Path) -> None:
    model = toy.build()
    model.save_pretrained(tmp_path)
    for parameter, tensor in model.named_parameters():
        tensor.requires_grad_(parameter.startswith(toy.heads or ("no head",)))
    present = digest.shapes(tmp_path)
    assert weight_check.absent(model, present) == WHOLE
    needed = {*weight_check._untied_output(model), *weight_check._frozen(model).keys() - weight_check._loose(model)}
    # Mixtral's files give the experts other names, and then a part outside the blocks may have another name, too.
    renamed = not present.keys() <= model.state_dict().keys()
    named = [name for name in present if name in needed and (weight_check._in_block(name) or not renamed)]
    seen = {tensor: weight_check.absent(model, [name for name in present if name != tensor]) for tensor in named}
    assert named
    assert {tensor: absent for tensor, absent in seen.items() if tensor not in absent.parts + absent.lost} == {}


@pytest.mark.parametrize("toy", parameters())
def test_blocks_that_the_configuration_does_not_have_are_named(toy: Toy, tmp_path: Path) -> None:
    """A model that loads without them computes something else than its files."""
    model = toy.build()
    model.save_pretrained(tmp_path)
    present = digest.shapes(tmp_path)
    assert weight_check.beyond(model, present) == []
    own = model.state_dict().keys()
    more = {re.sub(r"[.]1[.]", ".2.", name, count=1) for name in present.keys() & own if ".1." in name} - own
    ignored = model._keys_to_ignore_on_load_unexpected or ()
    more = {name for name in more if not any(re.search(pattern, name) for pattern in ignored)}
    assert more
    assert set(weight_check.beyond(model, [*present, *more])) == more
