"""The share of a step's operations is that of the counts, and the formula is that of one matrix."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import flop_counter

from harness.analysis.figures import operations_figure
from harness.analysis.output import figure_style
from harness.analysis.tuning import operations
from harness.analysis.views.forecast_memory import MemoryStudy, Row
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding

BACKBONE = 1000


def study(costs: dict[Any, tuple[int, int]]) -> MemoryStudy:
    """Return a study. costs: the rank of an arm, or "full" -> (parameters that train, operations)."""
    rows = []
    for rank, (trained, count) in costs.items():
        method = "full" if rank == "full" else "lora"
        arm = method if rank == "full" else f"lora rank={rank}"
        counts = {"delta": trained, "head": 0, "backbone": BACKBONE}
        forecast = {"operations": count, "parameters": counts, "input_tokens": 8, "target_tokens": 2}
        rows.append(Row(arm, arm, method, 4, forecast))
    return MemoryStudy(exhibits.load("regret-flops"), "m", tuple(rows))


def judge(made: MemoryStudy, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, "left": "lora", **options}
    return claim.with_options(given).find(made, given)


def test_the_share_is_counted_and_the_formula_adds_the_trained_share() -> None:
    made = study({"full": (1000, 600), 1: (10, 400), 16: (160, 500)})
    shown = operations.table(made)
    by_arm = {row[0].value: dict(zip(shown.columns, row, strict=True)) for row in shown.rows}
    assert by_arm["lora rank=1"]["of full"].value == pytest.approx(100 * 400 / 600)
    assert by_arm["lora rank=16"]["2/3 + trained share"].value == pytest.approx(100 * (2 / 3 + 0.16))


@pytest.mark.parametrize(("cost", "verdict"), [(402, "by construction"), (450, "contradicted")])
def test_the_claims_are_tested_within_the_margin(cost: int, verdict: str) -> None:
    made = study({"full": (1000, 600), 1: (10, cost), 64: (900, 940)})
    assert judge(made, "costs-share-of-operations").verdict == verdict
    assert len(judge(made, "costs-share-of-operations").comparisons) == 1, "rank 64 trains too much for two thirds"
    assert judge(made, "operations-follow-formula").verdict == verdict


def test_without_the_ceiling_the_claims_are_untested() -> None:
    made = study({1: (10, 400)})
    assert judge(made, "operations-follow-formula").verdict == "untested"
    assert operations.table(made).rows[0][4].text == "—"


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_the_formula_is_the_count_of_one_matrix(rank: int) -> None:
    width, rows = 32, 64
    weight, x = torch.randn(width, width), torch.randn(rows, width, requires_grad=True)
    down, up = nn.Parameter(torch.randn(rank, width)), nn.Parameter(torch.randn(width, rank))
    full = nn.Parameter(weight.clone())
    with flop_counter.FlopCounterMode(display=False) as low_rank:
        (x @ weight.T + x @ down.T @ up.T).sum().backward()
    with flop_counter.FlopCounterMode(display=False) as whole:
        (x @ full.T).sum().backward()
    share = low_rank.get_total_flops() / whole.get_total_flops()
    assert share == pytest.approx(operations.FROZEN + 2 * rank / width)


def test_the_figure_has_a_panel_per_model_and_the_arms_by_their_field() -> None:
    with figure_style.style():
        figure = operations_figure.draw([study({"full": (1000, 600), 1: (10, 400)})])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["rank=1"]
