"""Correlations of weights' changes: per cell, intervals over seeds, the paper's own points beside, signs as claims."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis import report
from harness.analysis.figures import decomposition_figure
from harness.analysis.output import figure_style
from harness.analysis.study import open_rates, study
from harness.analysis.study.study import Study
from harness.analysis.views import decomposition, decomposition_clouds
from harness.analysis.views.decomposition_clouds import ALL, WITHIN, Cloud
from harness.errors import UsageError
from harness.experiments import claims, exhibits
from harness.experiments.verdict import Finding
from harness.store.archive import Run

EXHIBIT = "dora-figure2"
SLOPES = {"full": -1.0, "lora": 1.0, "dora": -1.0}
STEPS, LAYERS = (25, 50, 75, 100), 5
Make = Callable[..., Study]


def matrices(draw: np.random.Generator, slope: float, drift: float, noise: float) -> list[dict[str, Any]]:
    """dM = slope * dD + noise inside a step; both grow by `drift` from step to step."""
    rows = []
    for role in ("q", "v"):
        for stack, cross in (("encoder", False), ("decoder", False), ("decoder", True)):
            for layer in range(LAYERS):
                direction = 5 + draw.normal(0, 1, len(STEPS)) + drift * np.arange(len(STEPS))
                magnitude = 9 + slope * direction + draw.normal(0, noise, len(STEPS))
                magnitude += (1 - slope) * drift * np.arange(len(STEPS))
                if cross:
                    magnitude = -magnitude
                place = {"name": f"{stack}.{layer}.{cross}.{role}", "role": role, "stack": stack, "layer": layer}
                sides = {"magnitude": magnitude.tolist(), "direction": direction.tolist()}
                rows.append({**place, "cross": cross, **sides})
    return rows


@pytest.fixture
def make(make_grid: Callable[..., list[Run]], monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)

    def do(seeds: int = 3, drift: float = 0.0, noise: float = 0.5, tasks: tuple[str, ...] = ("micro/qa",)) -> Study:
        draw = np.random.default_rng(0)

        def probed(run: Run) -> Run:
            slope = SLOPES[run.record["cell"]["method"]["name"]]
            found = {"status": "done", "steps": list(STEPS), "matrices": matrices(draw, slope, drift, noise)}
            return replace(run, record={**run.record, "probes": {decomposition_clouds.PROBE: found}})

        runs = make_grid(methods=tuple(SLOPES), seeds=tuple(range(seeds)), tasks=tasks)
        (found,) = study.studies(exhibits.load(EXHIBIT), [probed(run) for run in runs])
        return found

    return do


def judge(found: Study, **options: Any) -> Finding:
    claim = claims.find("sign-of-correlation")
    given = {**claim.options, **options}
    return claim.with_options(given).test()(found, claim.with_options(given), given)


def a_cloud(magnitude: Any, direction: Any) -> Cloud:
    sides = np.atleast_2d(np.asarray(magnitude, dtype=float)), np.atleast_2d(np.asarray(direction, dtype=float))
    return Cloud(*sides, ("",) * len(sides[0]), tuple(range(sides[0].shape[1])))


def test_a_correlation_is_numpys() -> None:
    draw = np.random.default_rng(1)
    points = a_cloud(draw.normal(size=(6, 4)), draw.normal(size=(6, 4)))
    expected = np.corrcoef(points.magnitude.ravel(), points.direction.ravel())[0, 1]
    assert decomposition_clouds.pearson(points) == pytest.approx(expected)
    inside = [side - side.mean(axis=0) for side in (points.magnitude, points.direction)]
    assert decomposition_clouds.pearson(points, WITHIN) == pytest.approx(
        np.corrcoef(*(one.ravel() for one in inside))[0, 1]
    )


def test_pooling_over_steps_can_turn_the_sign() -> None:
    """Both grow with the steps, and within a step one falls as the other rises."""
    steps, layers = 10.0 * np.arange(4)[None, :], np.arange(5.0)[:, None]
    points = a_cloud(steps + layers, steps - layers)
    assert decomposition_clouds.pearson(points) > 0.9
    assert decomposition_clouds.pearson(points, WITHIN) == pytest.approx(-1)


@pytest.mark.parametrize(
    "points",
    [a_cloud([[1, 1, 1]], [[1, 2, 3]]), a_cloud([[1, 2]], [[2, 1]]), a_cloud([[0, 0], [0, 0]], [[0, 0], [0, 0]])],
)
def test_what_does_not_vary_or_is_too_few_has_no_correlation(points: Cloud) -> None:
    assert np.isnan(decomposition_clouds.pearson(points))
    assert np.isnan(decomposition_clouds.pearson(points, WITHIN))


def test_a_perfect_correlation_stays_finite() -> None:
    assert np.isfinite(decomposition_clouds.fisher(1.0))
    assert np.tanh(decomposition_clouds.fisher(0.5)) == pytest.approx(0.5)


def test_the_papers_points_are_complete_and_disagree_with_its_text(make: Make) -> None:
    """Findings of the repository's facts: the digits of two labels are exchanged, and one matches no panel."""
    here = make()
    quoted = decomposition.quotes(here)
    assert set(quoted) == set(SLOPES)
    found = {}
    for method, said in quoted.items():
        for role in ("q", "v"):
            cloud = decomposition_clouds.printed(here, said["label"], role)
            assert cloud is not None
            assert cloud.magnitude.shape == (12, 4)
            assert np.isfinite(cloud.magnitude).all()
            assert np.isfinite(cloud.direction).all()
            found[method, role] = decomposition_clouds.pearson(cloud)
    expected = [-0.312, -0.536, 0.963, 0.862, -0.619, -0.946]
    assert list(found.values()) == pytest.approx(expected, abs=0.001)
    assert all(abs(found[method, "q"] - said["stated"]["q"]) > 0.1 for method, said in quoted.items())


def test_the_interval_is_over_seeds_not_over_points(make: Make) -> None:
    """Twice the points in every cell does not halve it; it is the t interval of the seeds' own z."""
    here = make(seeds=4)
    found = decomposition.correlation(here, "lora", "q", ALL).main
    z = decomposition.panel_of(here, "q", ALL).of("lora").ravel()
    assert len(z) == 4
    half = 3.182446 * z.std(ddof=1) / 2
    assert np.arctanh([found.low, found.mean, found.high]) == pytest.approx(
        [z.mean() - half, z.mean(), z.mean() + half]
    )


def test_the_table_shows_ours_beside_text_and_figure(make: Make) -> None:
    table = decomposition.table(make())
    assert [row[0].text for row in table.rows[:3]] == ["full, q", "lora, q", "dora, q"]
    rows = {row[0].text: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert len(rows) == 6
    assert rows["full, q"]["paper's text"].text == "-0.62"
    assert rows["full, q"]["paper's figure"].text == "-0.31"
    assert rows["full, v"]["paper's text"].text == "—"
    assert "[" in rows["lora, v"][table.columns[1]].text
    assert all(row[1].keys for row in table.rows)
    assert any("text and its own figure disagree" in note for note in table.notes)


def test_attention_to_the_encoder_is_not_in_it(make: Make) -> None:
    (cloud, *_) = decomposition_clouds.of(make(), "lora", "q", "micro/qa")
    assert cloud.magnitude.shape == (2 * LAYERS, len(STEPS))
    assert (cloud.magnitude > 0).all()


def test_signs_are_tested_pooled_and_within_a_step(make: Make) -> None:
    here = make(drift=8.0)
    assert judge(here, method="full", sign="negative", over=ALL).verdict == "contradicted"
    assert judge(here, method="full", sign="negative", over=WITHIN).verdict == "reproduced"
    assert judge(here, method="lora", sign="positive").verdict == "reproduced"
    told = judge(here, method="lora", sign="positive").sentence
    assert told.startswith("lora: the changes of weights in magnitude and in direction correlate positively over")
    assert "lora, q: r = " in told
    assert "[" in told
    assert judge(here, method="lora", sign="negative").verdict == "contradicted"
    assert judge(here, method="lora", sign="positive", margin=0.9999).verdict == "contradicted"


def test_noise_is_inconclusive_and_says_how_many_seeds(make: Make) -> None:
    found = judge(make(noise=60.0), method="lora", sign="positive", roles=["q"])
    assert found.verdict == "inconclusive"
    (row,) = found.comparisons
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0 < row.high


def test_one_seed_or_no_probe_decides_nothing(make: Make, make_grid: Callable[..., list[Run]]) -> None:
    found = judge(make(seeds=1), method="lora", sign="positive")
    assert found.verdict == "untested"
    assert "one seed" in found.sentence
    (bare,) = study.studies(exhibits.load(EXHIBIT), make_grid(methods=tuple(SLOPES)))
    assert judge(bare, method="lora", sign="positive", roles=["q"]).verdict == "untested"
    assert decomposition.table(bare).rows == ()
    assert judge(make(), method="prefix", sign="positive").comparisons == ()


def test_a_sign_that_is_none_is_named(make: Make) -> None:
    with pytest.raises(UsageError, match="up"):
        judge(make(), method="lora", sign="up")
    with pytest.raises(UsageError, match="sometimes"):
        judge(make(), method="lora", over="sometimes")


@pytest.mark.parametrize("tasks", [("micro/qa",), ("micro/qa", "micro/inference")])
def test_the_figure_has_a_row_per_role_and_task_and_one_of_the_papers(make: Make, tasks: tuple[str, ...]) -> None:
    with figure_style.style():
        figure = decomposition_figure.draw([make(tasks=tasks)])
        figure_style.settle(figure)
        assert len(figure.axes) == 3 * 2 * (len(tasks) + 1)
        assert all(axes.collections for axes in figure.axes)


def test_the_figure_is_drawn_without_probes(make_grid: Callable[..., list[Run]]) -> None:
    (bare,) = study.studies(exhibits.load(EXHIBIT), make_grid(methods=("full", "lora")))
    with figure_style.style():
        figure_style.settle(decomposition_figure.draw([bare]))


def test_the_exhibit_renders_whole(make: Make, make_grid: Callable[..., list[Run]], tmp_path: Path) -> None:
    verdicts = [(finding.claim, finding.verdict) for finding in report.judge(exhibits.load(EXHIBIT), make())]
    assert verdicts == [("sign-of-correlation", "reproduced")] * 6
    failed = {"status": "failed", "error": "no delta of step 25"}
    runs = [
        replace(one, record={**one.record, "probes": {decomposition_clouds.PROBE: failed}})
        for one in make_grid(methods=tuple(SLOPES))
    ]
    report.render(exhibits.load(EXHIBIT), "quick", runs, tmp_path)
    assert (tmp_path / "decomposition-figure.png").is_file()
