"""What is frozen costs no more than it must: each matrix is multiplied once per batch, and no gradient goes below what
trains. Both laws hold for every method on every kind of backbone."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.training.decoding import Prompt
from harness.training.step import recompute_blocks
from methods.attachment import soft_prompt
from methods.backbone.trainable_parameters import trainable
from methods.base import find
from tests.methods.conftest import TOYS, attach, backbone, batch

USUAL = ("t5", "llama-gqa")


class RowByRow(TorchDispatchMode):
    """Counts products of a batch in which a parameter is repeated for each row."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.places = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.count = 0

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if call is torch.ops.aten.bmm.default:
            repeated = [side for side in args if side.shape[0] > 1 and side.stride(0) == 0]
            self.count += any(side.untyped_storage().data_ptr() in self.places for side in repeated)
        return call(*args, **(kwargs or {}))


def loss(model: Any, toy: Any) -> torch.Tensor:
    """Return a loss, as a scalar; a decoder reads its prompts as the objective has it read them."""
    data = batch(toy)
    if toy.kind != "causal":
        return model(**data).loss
    prompt = Prompt.of(data["input_ids"], data["attention_mask"])
    first, _ = prompt.read(model)
    return prompt.logits(model, 3).sum() + first.sum()


def leaves(node: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors at which a backward pass from `node` ends."""
    open_nodes, known = [node], set()
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        open_nodes += [following for following, _ in node.next_functions]


def test_a_step_does_no_needless_work(name: str, toy: Any) -> None:
    model = backbone(toy)
    attach(name, model)
    model.train()
    with RowByRow(model) as watch:
        total = loss(model, toy)
    assert watch.count == 0, "a matrix is multiplied row by row: its other side is a slice over positions"
    ids = {id(p): path for path, p in trainable(model)}
    others = [tuple(leaf.shape) for leaf in leaves(total.grad_fn) if id(leaf) not in ids]
    assert not others, f"the backward pass goes down to tensors {others} that do not train"


@pytest.mark.parametrize(("kind", "again"), [("t5", False), ("llama-gqa", False), ("llama-gqa", True)])
def test_no_gradient_flows_below_the_lowest_layer_that_trains(kind: str, again: bool) -> None:
    model = backbone(TOYS[kind])
    attach("last_layer", model)
    model.train()
    if again:
        recompute_blocks(model)
    flows: list[bool] = []
    for block in find(model, "blocks").values():
        block.register_forward_hook(lambda *call: flows.append(_with_gradient(call[-1])))
    model(**batch(TOYS[kind]), use_cache=False)
    assert flows == [*[False] * (len(flows) - 1), True]


def _with_gradient(output: Any) -> bool:
    return (output if isinstance(output, torch.Tensor) else output[0]).requires_grad


def test_a_slice_over_positions_is_multiplied_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law can fail: torch still does what the code avoids."""
    model = backbone(TOYS["llama-gqa"])
    attach("prompt", model)
    monkeypatch.setattr(soft_prompt.Prompt, "cut", lambda self, hidden: hidden[:, self.length :])
    data = batch(TOYS["llama-gqa"])
    with RowByRow(model) as watch:
        model(input_ids=data["input_ids"])
    assert watch.count == 1
