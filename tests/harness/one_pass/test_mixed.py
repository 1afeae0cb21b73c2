"""One pass over rows of several tasks, each with its own delta, computes what a pass for each row alone does."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import UsageError
from harness.models import backbone as models
from harness.one_pass.mixed import Mixed
from harness.precision import computing
from methods.attachment.delta_state import delta_state, load_delta_state
from tests.methods.conftest import NAMES, TOYS, attach, backbone, batch, disturb
from tests.methods.toys import Toy

PICKS = ("c", "a", "b")
"""The deltas of the three rows."""
USUAL = ("adapter", "bitfit", "dora", "full", "lora", "prefix", "prompt", "vera")
"""Methods of a usual run: each way to attach a delta, and one with tensors that are drawn."""
REFUSED = {"peft": "autograd.Function", "bloom": "autograd.Function"}
"""Methods and toys whose rows cannot share a pass, and what torch says of it: PEFT's layers of its type LOHA, and the
activation of BLOOM, compute with functions for which it has no rule."""
HALF = ("t5", "llama-gqa")
"""The toys of a usual run in bf16: one with two stacks, and one with gated parts."""
CLOSE = {"fp32": 1e-5, "bf16": 0.05}
"""Of the largest logit. In bf16 eight bits hold a number to 0.4 %, and a dozen layers add to that."""
CPU = torch.device("cpu")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every toy with every method in both precisions; a usual run has the usual methods, in bf16 on two toys."""
    if "key" not in metafunc.fixturenames:
        return
    slow = metafunc.config.getoption("markexpr") != "not slow"  # else thousands were made only to be deselected
    every = itertools.product(TOYS, NAMES, CLOSE)
    chosen = [(case, [] if _is_usual(*case) else [pytest.mark.slow]) for case in every if slow or _is_usual(*case)]
    cases = [pytest.param(*case, marks=marks) for case, marks in chosen]
    metafunc.parametrize(("key", "name", "precision"), cases)


def _is_usual(key: str, name: str, precision: str) -> bool:
    return TOYS[key].usual and name in USUAL and (precision == "fp32" or key in HALF)


def tuned(name: str, toy: Toy, precision: str = "fp32", names: Sequence[str] = "abc", **fields: Any) -> dict[str, Any]:
    """One finished model per task, each moved in its own way from a start that is drawn in its own way."""
    made: dict[str, nn.Module] = {}
    for seed, task in enumerate(names):
        model = backbone(toy)
        if precision == "bf16":
            model = models.masters(model.to(torch.bfloat16))
        attach(name, model, seed=seed, **fields)
        models.masters(model)
        disturb(model, 0.05 * (1 + seed))
        load_delta_state(model, delta_state(model))  # as it is read from its file, without reparametrisation
        made[task] = model.eval()
    return made


def inputs(toy: Toy) -> dict[str, torch.Tensor]:
    own = batch(toy)
    answers = {"decoder_input_ids": own["labels"]} if toy.kind == "seq2seq" else {}
    return {"input_ids": own["input_ids"], "attention_mask": own["attention_mask"], **answers}


def at_tokens(logits: torch.Tensor, toy: Toy) -> torch.Tensor:
    """The logits that are not of padding, in fp32."""
    return (logits[batch(toy)["attention_mask"].bool()] if toy.kind in ("masked", "causal") else logits).float()


@torch.no_grad()
def alone(made: Mapping[str, Any], given: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Each row in a pass of its own."""
    rows = [made[task](**{key: value[i : i + 1] for key, value in given.items()}) for i, task in enumerate(PICKS)]
    return torch.cat([row.logits for row in rows])


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch goes through the rows of Mixtral's experts
def test_rows_with_their_own_deltas_are_those_of_passes_apart(key: str, name: str, precision: str) -> None:
    toy = TOYS[key]
    made, given = tuned(name, toy, precision), inputs(toy)
    with computing(precision, CPU):
        apart = alone(made, given)
        mixed = Mixed(made)
        if rule := REFUSED.get(name) or REFUSED.get(key):
            with pytest.raises(UsageError, match=rule):
                mixed.logits(PICKS, **given)
            return
        together = mixed.logits(PICKS, **given)
        again = alone(made, given)
    assert torch.equal(again, apart), "the models are as they were"
    expected = at_tokens(apart, toy)
    gap = float((at_tokens(together, toy) - expected).abs().max() / expected.abs().max())
    assert gap < CLOSE[precision]


def test_only_what_differs_is_kept_for_each_task() -> None:
    toy = TOYS["llama-gqa"]
    mixed = Mixed(tuned("lora", toy))
    assert mixed.apart
    assert all(".lora." in key and len(tensors) == 3 for key, tensors in mixed.apart.items())


def test_a_row_has_the_delta_that_is_named_for_it() -> None:
    toy = TOYS["t5"]
    made, given = tuned("lora", toy), inputs(toy)
    mixed = Mixed(made)
    same = {key: value[:1].expand(3, -1) for key, value in given.items()}
    ways = mixed.logits(["a", "b", "a"], **same)
    torch.testing.assert_close(ways[0], ways[2])
    assert not torch.allclose(ways[0], ways[1], atol=1e-3)


@pytest.mark.parametrize(
    ("tasks", "rule"),
    [
        (["a", "b", "sentimnt"], r"no delta is called 'sentimnt'; there are a, b, sentiment. Did you mean sentiment\?"),
        (["a", "b"], "input_ids has 3 rows and 2 tasks are named; give one a row"),
    ],
)
def test_a_wrong_name_or_number_is_one_sentence(tasks: list[str], rule: str) -> None:
    toy = TOYS["t5"]
    mixed = Mixed(tuned("lora", toy, names=("a", "b", "sentiment")))
    with pytest.raises(UsageError, match=rule):
        mixed.logits(tasks, **inputs(toy))


def test_deltas_that_differ_in_kind_are_refused() -> None:
    toy = TOYS["t5"]
    ranks = tuned("lora", toy, names="a", rank=2) | tuned("lora", toy, names="b", rank=4)
    methods = tuned("lora", toy, names="a") | tuned("bitfit", toy, names="b")
    for made in (ranks, methods):
        with pytest.raises(UsageError, match=r"the deltas of a and b cannot share a pass: \S+ is .* in one and"):
            Mixed(made)
    with pytest.raises(UsageError, match="a mixed batch needs the model of at least one task"):
        Mixed({})


def test_what_torch_cannot_stack_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that decides which way a forward pass goes differs from row to row."""
    toy = TOYS["gpt2"]
    made = tuned("lora", toy)
    layer = next(module for key, module in made["a"].named_modules() if key.rpartition(".")[2].startswith("lora"))
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda out, x: forward(out, x) if bool(out.sum() > 0) else out)
    rule = r"cannot share a pass \(.*\); give each task's rows a pass of its own\."
    with pytest.raises(UsageError, match=rule) as told:
        Mixed(made).logits(PICKS, **inputs(toy))
    assert "\n" not in str(told.value)
