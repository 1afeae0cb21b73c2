"""Savings of memory that differ by seed are tested together, and each is written with its interval."""

from typing import Any

import numpy as np
import pytest

from harness.analysis.study.study import Study
from harness.analysis.views import measured_memory, pairs
from harness.experiments import claims
from harness.experiments.verdict import Finding
from tests.harness.analysis.study import claim_records

RATES = (1e-4, 1e-3, 1e-2)


def judge(study: Study, left: Any) -> Finding:
    claim = claims.find("less-memory")
    given = {**claim.options, "left": left, "right": "full"}
    return claim.with_options(given).find(study, given)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Study:
    """Return records whose peaks vary by seed, so that savings have a p."""
    (made,) = claim_records.sizes(RATES)
    arms = [arm for arm in made.clean.arms if made.method_of[arm] == "lora"]
    assert len(arms) == 3
    saved = np.array([[0.02, 0.14, 0.10, 0.16]])
    panel = measured_memory.panel(made)

    class Peaks:
        """The panel with peaks of our own."""

        def of(self, arm: str) -> Any:
            return 1e6 * (1 - saved) if arm in arms else np.full((1, 4), 1e6)

        cells = panel.cells

    monkeypatch.setattr(pairs.measured_memory, "panel", lambda study: Peaks())
    monkeypatch.setattr(pairs, "sides", lambda study, options: [(arm, "full") for arm in options["left"]])
    return made


def test_several_savings_are_adjusted_together(study: Study) -> None:
    arms = [arm for arm in study.clean.arms if study.method_of[arm] == "lora"]
    alone = judge(study, arms[:1])
    (row,) = alone.comparisons
    assert row.p is not None
    together = judge(study, arms)
    assert [other.p for other in together.comparisons] == pytest.approx([min(1, 3 * row.p)] * 3)
    assert f"{arms[0]} saves 10.5 % [" in alone.sentence
    assert f"[{100 * (row.low or 0.0):.1f}, " in alone.sentence
