"""Claims about two methods over a field, on made records of known truth."""

import numpy as np
import pytest

from harness.analysis import report
from harness.analysis.study import open_rates, study
from harness.analysis.views import field_values
from harness.experiments import claims, exhibits
from tests.benchmarks import spread as spreads


@pytest.fixture
def records(make_run):
    return lambda quality, **options: _records(make_run, quality, **options)


@pytest.mark.parametrize("claim", ["less-sensitive-to", "at-least-at-each"])
def test_what_is_not_compared_may_have_one_learning_rate(tmp_path, make_run, records, claim):
    alone = [make_run(method, "micro/qa", seed) for method in ("none", "full") for seed in (0, 1, 2)]
    found = judged(tmp_path, [*records({"lora": STEEP, "dora": FLAT}), *alone], claim)
    assert open_rates.ALONE not in {row.reason for row in found.comparisons}


def test_the_seeds_that_would_decide_a_spread(tmp_path, records, monkeypatch):
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    steep = {rank: 0.8 + 0.03 * i for i, rank in enumerate(STEEP)}
    found = judged(tmp_path, records({"lora": steep, "dora": FLAT}, noise=0.06, rates=(1e-3,)), "less-sensitive-to")
    [row] = found.comparisons
    assert found.verdict == "inconclusive"
    assert row.seeds is None or row.seeds > 3


def _records(run, quality, seeds=(200, 0, 1, 2), rates=(1e-4, 1e-3, 1e-2), noise=0.01):
    """quality: method -> rank -> worth. Seed 200 chooses the rates."""
    return [
        run(method, "micro/qa", seed, learning_rate=rate, fields={"rank": rank}, noise=noise, quality={method: worth})
        for method, by_rank in quality.items()
        for rank, worth in by_rank.items()
        for rate in rates
        for seed in seeds
    ]


def judged(tmp_path, runs, claim):
    text = f"""
title: t
source: s
view: [suite, field-figure]
claims: [{{claim: {claim}, left: dora, right: lora}}]
grid:
  quick:
  - {{model: micro-t5-nano, task: micro/qa, method: [lora, dora], method.rank: [1, 2, 4, 8],
    recipe.learning_rate: [1e-4, 1e-3, 1e-2], tuning_seed: 200, seed: [0, 1]}}
"""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    exhibit = exhibits.read(path)
    [one] = study.studies(exhibit, runs)
    report.render(exhibit, "quick", runs, tmp_path / "out")
    assert (tmp_path / "out" / "field-figure.png").stat().st_size > 5000
    return report.judge(exhibit, one)[0]


STEEP = {1: 0.2, 2: 0.5, 4: 0.8, 8: 1.0}
FLAT = {1: 0.85, 2: 0.9, 4: 0.88, 8: 0.9}


@pytest.mark.parametrize(("quality", "verdict"), [
    ({"lora": STEEP, "dora": FLAT}, "reproduced"),
    ({"lora": FLAT, "dora": STEEP}, "contradicted"),
    ({"lora": FLAT, "dora": FLAT}, "inconclusive"),
])  # fmt: skip
def test_which_method_depends_less_on_the_field(tmp_path, records, quality, verdict):
    found = judged(tmp_path, records(quality), "less-sensitive-to")
    assert found.verdict == verdict
    assert any("highest mean minus lowest mean" in note for note in found.notes)


def test_at_each_value_the_pair_is_compared(tmp_path, records):
    found = judged(tmp_path, records({"lora": STEEP, "dora": FLAT}, noise=0.002), "at-least-at-each")
    assert [row.left for row in found.comparisons] == [f"dora rank={rank}" for rank in (1, 2, 4, 8)]
    assert [row.verdict for row in found.comparisons[:2]] == ["reproduced"] * 2
    assert found.comparisons[3].seeds_verdict == "contradicted"
    assert found.comparisons[3].verdict == "inconclusive"  # 500 rows are too few for 4 points
    assert found.comparisons[3].rows > 1


@pytest.mark.parametrize("claim", ["less-sensitive-to", "at-least-at-each"])
def test_one_learning_rate_decides_nothing(tmp_path, records, claim):
    found = judged(tmp_path, records({"lora": STEEP, "dora": FLAT}, rates=(1e-3,)), claim)
    assert found.verdict == "inconclusive"
    assert {row.reason for row in found.comparisons} == {open_rates.ALONE}


@pytest.mark.parametrize("noises", [(0.01, 0.01), (0.01, 0.04), (0.05, 0.003)])
@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_equal_spreads_are_called_different_as_rarely_as_stated_however_unequal_the_noise(noises, spread):
    assert spreads.false(3, spread, noises, False, repeats=300) <= 0.085  # the 99.5 % point of 5 %


def test_the_difference_of_spreads_has_no_bias_from_noise():
    random = np.random.default_rng(4)
    drawn = [field_values._difference(spreads.draw(random, 3, 0.02, (0.01, 0.06), False)) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(0, abs=4 * np.std(drawn) / 2000**0.5)


def test_two_seeds_say_nothing_of_a_spread(tmp_path, records):
    [row] = judged(tmp_path, records({"lora": STEEP, "dora": FLAT}, seeds=(0, 1)), "less-sensitive-to").comparisons
    assert (row.verdict, row.reason) == ("untested", "fewer than three seeds on every value")


def test_claims_state_their_options():
    assert claims.find("at-least-at-each").options["ratio"] == 1
