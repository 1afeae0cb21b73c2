"""Scaled features of a layer's output beside the plain expression."""

import pytest
import torch

from methods.attachment import rescaling
from methods.attachment.rescaling import rescaled


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("chunk", [1, 24, 2**18])
@pytest.mark.parametrize("least", [-1.0, -0.9])
def test_values_and_gradients_are_those_of_the_plain_expression(
    monkeypatch: pytest.MonkeyPatch, biased: bool, chunk: int, least: float
) -> None:
    """A change of -1 makes a feature 0, which has a gradient all the same."""
    monkeypatch.setattr(rescaling, "CHUNK", chunk)
    total = torch.randn(2, 5, 6, dtype=torch.float64)[..., :4].requires_grad_()  # rows of a fused linear
    bias = torch.randn(4, dtype=torch.float64).requires_grad_() if biased else None
    change = torch.tensor([least, 0.0, 0.2, 3.0], dtype=torch.float64).requires_grad_()
    inputs = [one for one in (total, bias, change) if one is not None]
    shift = 0 if bias is None else bias
    ours, theirs = rescaled(total, bias, change), shift + (1 + change) * (total - shift)
    torch.testing.assert_close(ours, theirs)
    weighing = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, inputs, weighing), torch.autograd.grad(theirs, inputs, weighing)
    )


def test_half_precision_rounds_the_change_and_not_the_factor() -> None:
    """The mean over many values is right, where the factor lies between two numbers of bfloat16 near 1."""
    changes = torch.tensor([0.0, 1.5, -0.75]) / 128
    total = torch.rand(1, 4000, 3).bfloat16() + 1
    made = rescaled(total, None, changes)
    assert made.dtype == torch.bfloat16
    means = (made.double() / total.double()).mean(dim=(0, 1)) - 1
    torch.testing.assert_close(means, changes.double(), rtol=0.1, atol=0.0)


def test_what_has_no_gradient_gets_none() -> None:
    total = torch.randn(3, 4)
    change = torch.zeros(4, requires_grad=True)
    rescaled(total, None, change).sum().backward()
    torch.testing.assert_close(change.grad, total.sum(dim=0))
    assert total.grad is None


@pytest.mark.parametrize(("bias", "kept"), [(None, 1), (torch.ones(4), 2)])
def test_without_a_bias_it_keeps_what_the_next_layer_keeps(bias: torch.Tensor | None, kept: int) -> None:
    storages: set[int] = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape == (3, 4):
            storages.add(tensor.untyped_storage()._cdata)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = rescaled(torch.randn(3, 4, requires_grad=True), bias, torch.full((4,), 0.1, requires_grad=True))
        result.square()
    assert len(storages) == kept
