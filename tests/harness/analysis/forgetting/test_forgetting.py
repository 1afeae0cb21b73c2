"""Learning against forgetting: rises of the loss, at the end and at equal scores, and the rank of updates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.forgetting import figures, intruders, learning_paths, rises, views
from harness.analysis.study import estimates, open_rates, study
from harness.analysis.study.study import Study
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

Make = Callable[..., Study]
STEPS = [0, 50, 100, 150, 200]


def forgetting(slope: float, seed: int) -> dict[str, Any]:
    """A loss that rises by `slope` each 50 steps, a little different by seed."""
    losses = [0.5 + (slope + 0.001 * seed) * place for place in range(len(STEPS))]
    others = {"micro/qa": {"before": 0.6, "after": 0.6 - slope / 2, "n": 128}}
    return {
        "status": "done", "steps": STEPS, "pretraining_loss": losses, "documents": 256, "others": others,
        "why_null": {},
    }  # fmt: skip


def scaled(drop: float, seed: int) -> dict[str, Any]:
    losses = [3.0, 2.9, 3.0 - drop - 0.001 * seed, 2.0, 1.9, 1.8]
    factors = [1.0, 0.9, 0.7, 0.5, 0.3, 0.0]
    return {
        "status": "done", "factors": factors, "pretraining_loss": losses, "score": [0.9, 0.9, 0.895, 0.8, 0.7, 0.5],
        "intruders": 12, "plain_loss": 0.5, "why_null": {},
    }  # fmt: skip


def matrices(share: float, seed: int) -> dict[str, Any]:
    row = {"name": "a", "role": "q", "change": 0.3, "rank_share": share + 0.001 * seed, "likeness": [0.9]}
    return {"status": "done", "matrices": [row], "why_null": {}}


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(
        slopes: dict[str, float], drop: float = 0.3, name: str = "delta-forgetting",
        tasks: Sequence[str] = ("micro/sentiment",), **quality: float,
    ) -> Study:  # fmt: skip
        methods = ("none", *slopes)
        changed = []
        for run in make_grid(methods=methods, tasks=tasks, seeds=range(4), quality=quality or None):
            method, seed = run.record["cell"]["method"]["name"], run.record["cell"]["seed"]
            found = {}
            if method in slopes:
                share = 0.8 if method == "full" else 0.05
                found = {
                    "forgetting": forgetting(slopes[method], seed if method == "full" else 3 * seed),
                    "intruders_down": scaled(drop, seed),
                    "spectrum": matrices(share, seed if method == "full" else 3 * seed),
                }
            changed.append(replace(run, record={**run.record, "probes": found}))
        (made,) = study.studies(exhibits.load(name), changed)
        return made

    return do


def judge(made: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).find(made, given)


def test_a_rise_is_the_last_loss_less_the_first(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1})
    assert estimates.score(learning_paths.rises(made), "full").main.mean == pytest.approx(4 * 0.5 + 4 * 0.0015)
    assert learning_paths.rise({}) != learning_paths.rise({}), "NaN without the probe"


@pytest.mark.parametrize(("lora", "verdict"), [(0.1, "reproduced"), (0.9, "contradicted"), (0.512, "inconclusive")])
def test_who_forgets_less(make: Make, lora: float, verdict: str) -> None:
    finding = judge(make({"full": 0.525, "lora": lora}), "forgets-less", left="lora", right="full")
    assert finding.verdict == verdict, finding.sentence


@pytest.mark.parametrize(("lora", "size", "how"), [(0.1, "1.69", "less"), (0.9, "1.51", "more")])
def test_a_sentence_says_whose_loss_rises_more_in_nats(make: Make, lora: float, size: str, how: str) -> None:
    finding = judge(make({"full": 0.525, "lora": lora}), "forgets-less", left="lora", right="full")
    assert f"the loss on pretraining text rises by {size} [" in finding.sentence
    assert f"nats per word {how} with lora than with full" in finding.sentence
    assert any("another text" in note for note in finding.notes), "test rows are not what its losses are of"


def test_a_way_is_read_at_the_score_that_it_first_reaches() -> None:
    way = learning_paths.Path((0, 10, 20), (0.4, 0.6, 0.8), (0.0, 1.0, 3.0))
    assert way.rise_at(0.4) == 0.0
    assert way.rise_at(0.5) == pytest.approx(0.5)
    assert way.rise_at(0.7) == pytest.approx(2.0)
    assert way.rise_at(0.9) != way.rise_at(0.9), "never reached"


def test_at_equal_score_the_slower_learner_is_at_its_end(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.5}, full=1.0, lora=0.5)
    pair = learning_paths.at_equal_score(made, "lora", "full")
    full, lora = (estimates.score(pair, arm).main.mean for arm in ("full", "lora"))
    assert full < lora, "full has the score of lora early on, when it has forgotten little"
    finding = judge(made, "forgets-less-at-equal-score", left="lora", right="full")
    assert finding.verdict == "contradicted", finding.sentence


def test_methods_that_no_cell_has_are_named(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1})
    finding = judge(made, "forgets-less", left={"method": ["lora", "prefix"]}, right="full")
    assert [row.left for row in finding.comparisons] == ["lora"]
    assert any("left out" in note and "prefix" in note for note in finding.notes)


def test_cells_without_the_probe_decide_nothing(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1})
    assert judge(made, "forgets-less", left="none", right="full").verdict == "untested"


def test_the_rank_of_the_update_is_compared(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1}, name="learns-less")
    assert judge(made, "update-has-higher-rank", left="full", right="lora").verdict == "reproduced"
    assert judge(made, "update-has-higher-rank", left="lora", right="full").verdict == "contradicted"
    assert judge(made, "update-has-times-the-rank", left="full", right="lora", times=10.0).verdict == "reproduced"
    far = judge(made, "update-has-times-the-rank", left="full", right="lora", times=30.0)
    assert far.verdict == "contradicted"
    assert "the rank of the update of full is 1" in far.sentence
    assert "times that of lora" in far.sentence
    assert not any("test rows" in note for note in far.notes), "a rank has none"
    assert estimates.score(rises.ranks(made), "full").main.mean == pytest.approx(0.8015)


def test_who_learns_less(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1}, name="learns-less", full=1.0, lora=0.6)
    assert judge(made, "learns-less", left="lora", right="full").verdict == "reproduced"
    assert judge(made, "learns-less", left="full", right="lora").verdict == "contradicted"


@pytest.mark.parametrize(("drop", "verdict"), [(0.3, "reproduced"), (-0.3, "contradicted")])
def test_scaled_intruders_lower_the_loss(make: Make, drop: float, verdict: str) -> None:
    made = make({"full": 0.5, "lora": 0.1}, drop=drop, name="intruders-forget")
    finding = judge(made, "intruders-hold-forgetting", method="lora")
    assert finding.verdict == verdict
    assert f"the loss of lora {'falls' if drop > 0 else 'rises'} by 0.30 [" in finding.sentence
    kept = judge(made, "intruders-hold-little-score", method="lora")
    assert "the score of lora changes by " in kept.sentence
    assert " points" in kept.sentence
    assert estimates.score(intruders.change(made, intruders.LOSS, 0.7), "lora").main.mean == pytest.approx(
        -drop - 0.0015
    )
    assert intruders.change(made, intruders.LOSS, 0.123).values.size


def test_the_tables_have_the_numbers_of_the_probe(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1})
    shown = {row[0].value: row for row in views.table(made).rows}
    assert next(iter(shown)) == "lora", "who forgets least comes first"
    assert shown["lora"][2].value == pytest.approx(0.5)
    assert shown["full"][4].value == pytest.approx(2.006)
    assert shown["full"][5].text == "—"
    other = {row[0].value: row for row in views.other_tasks(made).rows}
    assert other["full"][1].value == pytest.approx(-25.0)
    ranks = {row[0].value: row for row in views.with_ranks(make({"full": 0.5, "lora": 0.1}, name="learns-less")).rows}
    assert ranks["full"][3].value == pytest.approx(80.15)
    down = {row[0].value: row for row in intruders.table(made).rows}
    assert set(down) == {"full", "lora"}
    assert down["lora"][2].value == 12


def test_the_figures_are_drawn(make: Make) -> None:
    made = make({"full": 0.5, "lora": 0.1})
    assert len(figures.draw([made]).axes) == 2
    assert len(intruders.figure([made]).axes) == 2
    assert set(figures.mean_ways(made)) == {"full", "lora"}


def test_the_figure_of_claims_has_their_methods_alone(make: Make) -> None:
    """Its names are those at the ends of the curves, and nothing else is said to be missing."""
    slopes = {"full": 0.3, "lora": 0.1, "bitfit": 0.2}
    for name, view, expected in (
        ("delta-forgetting", figures.draw, ["bitfit", "full", "lora"]),
        ("learns-less", figures.of_claims, ["full", "lora"]),
    ):
        made = make(slopes, name=name)
        drawn = view([made])
        assert sorted(text.get_text().strip() for text in drawn.axes[1].texts) == expected
        assert len(drawn.axes[0].containers) == len(expected), "an interval at each end"
        assert "without a place" not in drawn.legends[0].get_title().get_text()


@pytest.mark.parametrize("draw", [figures.draw, intruders.figure])
def test_a_method_that_lacks_a_task_is_named_and_not_averaged_over_the_others(make: Make, draw: Any) -> None:
    made = make({"full": 0.3, "lora": 0.1}, tasks=("micro/sentiment", "micro/qa"))
    gone = (made.scores.method == "lora") & (made.scores.task == "micro/qa")
    partly = replace(made, scores=made.scores[~gone])
    for whole, expected in ((made, 2), (partly, 1)):
        drawn = draw([whole])
        lines = [line for line in drawn.axes[1].lines if len(line.get_xdata()) > 2]
        assert len(lines) == expected
    assert "without a place here: lora" in drawn.legends[0].get_title().get_text()
