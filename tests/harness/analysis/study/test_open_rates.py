"""A comparison that a better learning rate could change decides nothing, whatever claim makes it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.study import comparisons, convergence_speed, estimates, frame, open_rates, statistics, study
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Interval
from harness.analysis.study.study import Study
from harness.analysis.tradeoffs import pscp
from harness.analysis.views import decomposition_clouds, spectrum
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Comparison, Finding
from harness.store import archive
from harness.store.archive import Run
from tests import turns
from tests.harness import made_runs
from tests.harness.analysis.study import claim_records

TASKS = ("micro/sentiment", "micro/inference", "micro/qa")
GRID = (1e-4, 1e-3, 1e-2)
OPTIONS = {
    "left": "lora", "right": "full", "method": "lora", "share": 0.1, "field": "rank", "roles": ["q"],
    "methods": ["lora"], "to": "full", "part": "bitfit", "reference": "full",
}  # fmt: skip
"""A value for every option that a claim may need."""


def judge(here: Study, name: str, **options: Any) -> Finding:
    claim = claims.find(name)
    given = {**claim.options, **options}
    return claim.with_options(given).test()(here, claim.with_options(given), given)


def seen(run: Run) -> Run:
    """The run with what every probe found that a claim reads, the peak of its training and a score on training rows."""
    method, seed = run.record["cell"]["method"]["name"], run.record["cell"]["seed"]
    moved = [
        {
            "name": f"{layer}", "role": "q", "stack": "encoder", "layer": layer, "cross": False,
            "magnitude": [0.1 * layer + 0.002 * seed * layer**3], "direction": [0.2 * layer**2],
        }
        for layer in range(1, 6)
    ]  # fmt: skip
    likeness = [0.2] * (4 if method == "lora" else 1 + seed % 2) + [0.95] * 5
    found = {
        decomposition_clouds.PROBE: {"status": "done", "steps": [1], "matrices": moved},
        spectrum.PROBE: {
            "status": "done",
            "matrices": [
                {
                    "name": "a",
                    "role": "q",
                    "change": 0.1,
                    "likeness": likeness,
                    "rank_share": 0.3 + (0.3 + 0.001 * seed) * (method == "lora"),
                }
            ],
        },
        "forgetting": {
            "status": "done",
            "steps": [0, 100, 200],
            "pretraining_loss": [0.5, 0.6, 0.7 + (1.0 + 0.01 * seed) * (method == "full")],
        },
        "intruders_down": {
            "status": "done",
            "factors": [1.0, 0.7],
            "pretraining_loss": [2.0, 1.0 + 0.01 * seed],
            "score": [0.9, 0.9 - 0.001 * seed],
            "intruders": 3,
            "plain_loss": 0.5,
        },
        pscp.PROBE: {"status": "done", "sets": {"test": {"extra": 0.02}}},
    }
    memory = {"train": {"live_bytes": 1000 if method == "lora" else 2000, "torch_allocated_bytes": None}}
    surplus = 0.2 + 0.002 * seed if method == "lora" else 0.1
    scores = {
        name: {
            **point,
            "sets": {**point["sets"], "train_sample": {"accuracy": point["sets"]["test"]["accuracy"] + surplus}},
        }
        for name, point in run.record["scores"].items()
    }
    return replace(run, record={**run.record, "probes": found, "memory": memory, "scores": scores})


@cache
def ranks(rates: Sequence[float] = GRID) -> Study:
    """Two methods at three ranks, lora the better and the less sensitive to its rank. Many claims look at it."""
    worth = {"lora": {1: 0.8, 2: 0.81, 4: 0.8}, "full": {1: 0.2, 2: 0.4, 4: 0.6}}
    runs = []
    for method, by_rank in worth.items():
        for rank, value in by_rank.items():
            for rate in rates:
                for seed in range(4):
                    for size in (100, 1000):
                        made = made_runs.run(
                            method, "micro/qa", seed, learning_rate=rate, fields={"rank": rank}, noise=0.004,
                            quality={method: value + (0.2 if size > 500 else 0)},
                        )  # fmt: skip
                        task = {**made.record["cell"]["task"], "train_size": size, "digest": str(size)}
                        key = made.record["key"][:-4] + f"{size:04d}"
                        cell = {**made.record["cell"], "task": task}
                        runs.append(seen(replace(made, record={**made.record, "cell": cell, "key": key})))
    (here,) = study.studies(exhibits.load("delta-convergence"), runs)
    return here


def ordered(rates: Sequence[float] = GRID) -> Study:
    """Five methods on three tasks, whose order is plain."""
    worth = {"full": 1.0, "lora": 0.85, "adapter": 0.7, "prefix": 0.5, "prompt": 0.2}
    runs = made_runs.grid(("none", *worth), rates=rates, quality=worth, seeds=range(6), noise=0.006)
    (here,) = study.studies(exhibits.load("delta-convergence"), [seen(run) for run in runs])
    return here


shared_order = cache(ordered)


ON_RECORDS = [name for name, claim in claims.CLAIMS.items() if "savings" not in claim.target]


@pytest.mark.parametrize("name", turns.every_second([name for name in ON_RECORDS if not claims.find(name).any_rate]))
def test_no_claim_is_decided_at_one_learning_rate(name):
    """Every claim that does not say why no rate matters; with three rates the same records decide something."""
    options = {key: value for key, value in OPTIONS.items() if key in claims.find(name).options}
    options |= claim_records.OPTIONS.get(name, {})

    def at(rates: tuple[float, ...]) -> list[Finding]:
        records = claim_records.RECORDS.get(name)
        here = records(rates) if records else [ranks(rates), shared_order(rates)]
        return [judge(one, name, **options) for one in here]

    alone = at((1e-3,))
    rows = [row for found in alone for row in found.comparisons if row.verdict != "untested"]
    assert rows, "the law needs something to judge"
    assert {row.verdict for row in rows} == {"inconclusive"}
    assert {row.reason for row in rows} == {open_rates.ALONE}
    assert {found.verdict for found in alone} <= {"inconclusive", "untested"}
    several = at(GRID)
    assert {row.verdict for found in several for row in found.comparisons} & {"reproduced", "contradicted"}


def test_what_no_rate_changes_says_why():
    assert judge(ranks((1e-3,)), "less-memory", left="lora", right="full").verdict == "reproduced"
    assert len(ON_RECORDS) > 10


def at_edge(make_run: Callable[..., Run], edges: Sequence[str]) -> Study:
    """lora above full; the methods in `edges` are best at the highest rate tried."""
    runs = [
        make_run(
            method, "micro/qa", seed, learning_rate=rate, best_rate=1e-2 if method in edges else 1e-3,
            quality={"lora": 0.9, "full": 0.4}, noise=0.004,
        )
        for method in ("lora", "full") for rate in GRID for seed in range(4)
    ]  # fmt: skip
    (here,) = study.studies(exhibits.load("delta-ranking"), runs)
    return here


@pytest.mark.parametrize(
    ("edges", "above", "opposite", "at_least"),
    [
        ((), "reproduced", "contradicted", "reproduced"),
        (("lora",), "reproduced", "contradicted", "reproduced"),
        (("full",), "inconclusive", "inconclusive", "inconclusive"),
        (("lora", "full"), "inconclusive", "inconclusive", "inconclusive"),
    ],
)
def test_only_the_losers_edge_leaves_a_comparison_open(make_run, edges, above, opposite, at_least):
    here = at_edge(make_run, edges)
    found = [
        judge(here, "scores-above", left="lora", right="full"),
        judge(here, "scores-above", left="full", right="lora"),
        judge(here, "scores-at-least", left="lora", right="full"),
    ]
    assert [one.verdict for one in found] == [above, opposite, at_least]
    reasons = {row.reason for one in found for row in one.comparisons if row.verdict == "inconclusive"}
    assert reasons <= {open_rates.EDGE}
    assert not any("whatever their scores" in one.sentence for one in found)


def rated(make_run: Callable[..., Run], seeds: Sequence[int], rates: Sequence[float] = GRID, **options: Any) -> Study:
    """lora far above full on seeds 1 to 4; rates are tried on `seeds`, and the best one, 1e-3, runs on the others."""
    tried = [(rate, seed) for rate in rates for seed in seeds]
    places = dict.fromkeys([*tried, *((1e-3, seed) for seed in range(1, 5))])
    runs = [
        make_run(
            method, "micro/qa", seed, learning_rate=rate, noise=0.004, quality={"lora": 0.9, "full": 0.2}, **options
        )
        for method in ("lora", "full") for rate, seed in places
    ]  # fmt: skip
    (here,) = study.studies(exhibits.load("dora-figure3"), runs)
    return here


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        ({"seeds": [200]}, ""),
        ({"seeds": [1, 2, 3, 4]}, open_rates.REPORTED),
        ({"seeds": [200], "rates": [1e-3]}, open_rates.ALONE),
        ({"seeds": [200], "rates": [1e-3, 1e-2]}, open_rates.EDGE),
        ({"seeds": [200], "rates": [1e-3], "model": "micro-t5-micro"}, open_rates.ALONE),
    ],
)
def test_no_verdict_rests_on_a_rate_that_is_alone_at_an_edge_or_chosen_on_reported_seeds(make_run, here, reason):
    """lora is far above full, whose rate is open; and above it even at the best rate, where both are."""
    [row] = judge(rated(make_run, **here), "scores-above", left="lora", right="full").comparisons
    assert (row.verdict, row.reason) == ("inconclusive" if reason else "reproduced", reason)
    assert not row.at_best


def test_a_bound_does_not_save_a_rate_that_was_chosen_on_reported_seeds(make_run):
    """What is at the edge can gain at most what is missing to 1; a score that is too good has no such bound."""
    row = Comparison("a", "b", "above", "reproduced", 0.3, 0.2, 0.4, 0.01, keys=("a", "b"), sides=(("a",), ("b",)))
    for reason, verdict in ((open_rates.EDGE, "reproduced"), (open_rates.REPORTED, "inconclusive")):
        settled = open_rates._settled(replace(row, at_best=True), 0.0, {"a": reason, "b": reason})
        assert (settled.verdict, settled.at_best) == (verdict, verdict == "reproduced")
    assert open_rates._settled(row, 0.0, {"a": open_rates.REPORTED}).reason == open_rates.REPORTED  # the winner's


def test_a_cell_whose_record_has_its_search_is_no_untuned_one(make_run):
    for edge, reason in (("", ""), ("highest", open_rates.EDGE)):
        here = rated(make_run, [], steps=200)
        search = {"seeds": [1000], "tried": [[1e-3, 0.5, "done"], [3e-3, 0.4, "done"]], "edge": edge}
        for cell in here.scores.cell:
            cell["recipe"]["rate_search"] = search
        [row] = judge(here, "scores-above", left="lora", right="full").comparisons
        assert (row.verdict, row.reason) == ("inconclusive" if reason else "reproduced", reason)


LEFT, RIGHT = ("a",), ("b",)


@pytest.mark.parametrize(
    ("relation", "verdict", "estimate", "hinge"),
    [
        ("above", "reproduced", 0.3, RIGHT),
        ("above", "contradicted", -0.3, LEFT),
        ("above", "contradicted", 0.005, LEFT),
        ("above", "inconclusive", 0.02, RIGHT),
        ("above", "inconclusive", 0.005, LEFT),
        ("at least", "reproduced", 0.1, RIGHT),
        ("at least", "contradicted", -0.1, LEFT),
        ("at least", "inconclusive", -0.005, RIGHT),
        ("at least", "inconclusive", -0.02, LEFT),
        ("similar", "reproduced", 0.001, ("a", "b")),
        ("similar", "contradicted", 0.3, RIGHT),
        ("similar", "contradicted", -0.3, LEFT),
        ("similar", "inconclusive", 0.005, ("a", "b")),
    ],
)
def test_whose_better_rate_could_change_what(relation, verdict, estimate, hinge):
    assert sum(open_rates.hinges(relation, verdict, estimate, 0.01, (LEFT, RIGHT)), ()) == hinge


SMALL, LARGE = 0.1, 0.9
"""The worth of the loser and of the winner: 36 points apart."""


def partly(make_run: Callable[..., Run], opened: Sequence[str]) -> Study:
    """Three tasks; adapter's rate is at the edge on these."""
    runs = [
        make_run(
            method, task, seed, learning_rate=rate, noise=0.004,
            best_rate=1e-2 if method == "adapter" and task in opened else 1e-3,
            quality={"lora": LARGE, "adapter": SMALL},
        )
        for method in ("lora", "adapter") for task in TASKS for rate in GRID for seed in range(4)
    ]  # fmt: skip
    (here,) = study.studies(exhibits.load("delta-ranking"), runs)
    return here


@pytest.mark.parametrize(("opened", "verdict"), [(TASKS[2:], "reproduced"), (TASKS, "inconclusive")])
def test_the_losers_open_scores_are_replaced_by_the_highest(make_run, opened, verdict):
    here = partly(make_run, opened)
    [row] = judge(here, "scores-above", left="lora", right="adapter").comparisons
    assert (row.verdict, row.at_best) == (verdict, verdict == "reproduced")
    [other] = judge(here, "scores-above", left="adapter", right="lora").comparisons
    assert other.verdict == ("contradicted" if verdict == "reproduced" else "inconclusive")
    assert row.low > 0.3  # what is printed stays as it is: 36 points apart
    if row.at_best:
        scores = {arm: here.clean.of(arm).copy() for arm in ("lora", "adapter")}
        scores["adapter"][2] = 1.0
        per_seed = (scores["lora"] - scores["adapter"]).mean(axis=0)
        assert 0.1 < per_seed.mean() < 0.2
        plain = stats.ttest_1samp(per_seed, 0.01).pvalue
        assert row.p > plain  # the rows' error comes on top
        found = judge(here, "scores-above", left="lora", right="adapter")
        assert "decided, because no better learning rate could change the verdict: lora above adapter" in found.notes


def flat(arms: dict[str, list[float]], noise: float, draw: np.random.Generator, seeds: int = 4) -> Panel:
    """Scores of 400 rows, each task around its mean."""
    middle = np.array(list(arms.values()))[:, :, None]
    values = draw.normal(middle, noise, (*middle.shape[:2], seeds))
    keys = np.array([[[f"{a} {t}"] * seeds for t in range(middle.shape[1])] for a in arms], dtype=object)
    tasks = tuple(f"t{index}" for index in range(middle.shape[1]))
    rows, guess = np.full(len(tasks), 1e6), np.full(len(tasks), np.nan)
    return Panel(tuple(arms), tasks, tuple(range(seeds)), values, keys, rows, guess, np.full(len(tasks), True), 1.0)


def compared(panel: Panel, relation: str, margin: float, opened: Sequence[str]) -> Comparison:
    """a against b, where these cells' rates are open."""
    cells = [(key, *key.split(" ")) for key in dict.fromkeys(panel.keys.flat)]
    here: Any = SimpleNamespace(
        scores=pd.DataFrame(cells, columns=["key", "arm", "task"]),
        open_rates={tuple(key.split(" ")): open_rates.EDGE for key in opened},
    )
    [row] = comparisons.compare(here, [("a", "b")], [relation], [estimates.difference(panel, "a", "b")], margin)
    (row,) = open_rates.settle(here, margin, (row,))
    return row


def test_a_better_rate_that_takes_the_lead_away_is_rarely_missed():
    """b could reach 1 on its third task; then a is above by just the margin. Of 100 draws, 2.5 % should decide."""
    draw = np.random.default_rng(1)
    panels = [flat({"a": [0.9] * 3, "b": [0.6, 0.6, 0.3]}, 0.02, draw) for _ in range(100)]
    rows = [compared(panel, "above", 0.5 / 3, ["b 2"]) for panel in panels]
    assert all(row.low > 0.2 for row in rows)
    assert sum(row.verdict == "reproduced" for row in rows) <= 8  # binomial: 99.9 % of the draws at 2.5 %
    assert {row.reason for row in rows if row.verdict != "reproduced"} == {open_rates.EDGE}


def test_a_share_of_cases_at_the_best_of_either_side():
    panel = flat({"a": [0.5] * 8, "ceiling": [0.9] * 8}, 0.002, np.random.default_rng(0))
    found = comparisons._above_half(panel, ["a"], "ceiling", 0.05)
    assert found.main.mean == -0.5
    assert found.at_best is not None
    one = found.at_best(["a 0"]).main
    exact = stats.binomtest(4, 32).proportion_ci()
    assert (one.mean, one.low, one.high) == pytest.approx((1 / 8 - 0.5, exact.low - 0.5, exact.high - 0.5))
    assert statistics.superior(one, 0.05)[0] == "contradicted"


@pytest.mark.parametrize(
    ("b", "opened", "verdict"),
    [
        ([0.95, 0.95, 0.95], (), "reproduced"),
        ([0.95, 0.95, 0.95], ("b 0",), "reproduced"),  # 0.95 or 1 on one task of three: 1.7 points more
        ([0.95, 0.95, 0.95], ("a 0", "b 1"), "reproduced"),
        ([0.95, 0.95, 0.95], ("b 0", "b 1", "b 2"), "inconclusive"),
        ([0.2, 0.95, 0.95], ("b 1",), "contradicted"),
        ([0.85, 0.85, 0.85], ("b 0", "b 1", "b 2"), "inconclusive"),  # from 10 below over similar to 5 above
        ([0.85, 0.85, 0.85], ("a 0",), "contradicted"),
    ],
)
def test_similar_must_survive_both_sides_and_a_difference_keeps_its_sign(b, opened, verdict):
    panel = flat({"a": [0.95] * 3, "b": b}, 0.002, np.random.default_rng(2))
    assert compared(panel, "similar", 0.03, opened).verdict == verdict


def test_the_holm_family_counts_the_bounds():
    """Of two comparisons one is open: its rejection helps the other no more."""
    one, other = ("reproduced", 0.03), ("reproduced", 0.001)
    assert comparisons._worst(one, []) == 0.03
    assert comparisons._worst(other, [("reproduced", 0.01)]) == 0.01
    assert comparisons._worst(other, [("inconclusive", 0.2)]) == 1.0


def test_pairs_behind_an_open_rate_count_as_won_and_as_lost():
    here = ordered()
    found = convergence_speed.times(here)
    assert convergence_speed._bounds(here, found, "lora", "prompt") == []
    here.__dict__["open_rates"] = {("prompt", TASKS[0]): open_rates.EDGE}
    won = convergence_speed.wins(found.of("lora"), found.of("prompt"))
    lost, gained = convergence_speed._bounds(here, found, "lora", "prompt")
    assert lost == statistics.share_of_pairs(np.stack([np.zeros_like(won[0]), *won[1:]]))
    assert gained == statistics.share_of_pairs(np.stack([np.ones_like(won[0]), *won[1:]]))
    here.__dict__["open_rates"] = {("full", TASKS[1]): open_rates.EDGE}  # the ceiling's, which moves the goal
    assert convergence_speed._bounds(here, found, "lora", "prompt")[1].mean >= won.mean() - 0.5


def pairs(won: float) -> Interval:
    """The share of 30 pairs that are won, less one half, where all seeds agree."""
    return statistics.above_half(won, 30)


@pytest.mark.parametrize(
    ("bounds", "p"),
    [
        ([], statistics.share_p(29, 30, 0.6)),
        ([24.0, 29.0], statistics.share_p(24, 30, 0.6)),
        ([14.0, 29.0], 1.0),
    ],
)
def test_the_largest_p_of_a_share_decides(bounds, p):
    assert convergence_speed._worst(pairs(29.0), list(map(pairs, bounds)), False, 0.1) == pytest.approx(p)


def test_where_a_score_is_no_difference_every_cell_counts():
    row = Comparison("a", "b", "faster than", "reproduced", 0.9, keys=("a", "b", "goal"))
    assert open_rates.hinges(row.relation, row.verdict, 0.9, 0.0, row.sides) == ()
    assert open_rates._settled(row, 0.0, {"goal": open_rates.EDGE}).verdict == "inconclusive"


def test_a_rate_is_tuned_where_a_tuning_exhibit_chose_it_for_this_backbone():
    tuned = [run for run in archive.from_archive(archive.reference("delta-methods")) if open_rates.tuned(cell_of(run))]
    assert {cell_of(run)["method"]["name"] for run in tuned} == {"full", "lora", "adapter", "prefix", "bitfit"}
    cell = cell_of(tuned[0])
    for part, change in (
        ("recipe", {"learning_rate": 0.5}),
        ("recipe", {"steps": 25}),
        ("model", {"revision": "another"}),
        ("model", {"name": "micro-t5-micro"}),
        ("method", {"name": "ia3"}),
    ):
        assert not open_rates.tuned({**cell, part: {**cell[part], **change}}), change
    often = {**cell["recipe"], "evaluate_every": 7}
    assert open_rates.tuned({**cell, "seed": 9, "recipe": often, "task": {**cell["task"], "digest": "another"}})


def test_a_tuned_rate_of_another_backbone_is_untuned():
    runs = archive.from_archive(archive.reference("dora-table15"))
    assert frame.scores(runs[:3]).cell.notna().all()
    assert not any(open_rates.tuned(cell_of(run)) for run in runs)  # their rates are those of micro-t5-nano


def cell_of(run: Run) -> Any:
    return run.record["cell"]
