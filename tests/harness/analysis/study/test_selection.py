"""What is chosen, and that what is reported does not choose."""

import dataclasses

import pytest

from harness.analysis.study import frame, selection, study
from harness.experiments import exhibits

PLACE = ("micro-t5-nano", "micro/qa", "lora")


def grid_with(make_run, scores, **options):
    """One method on one task: {(rate, seed): (validation, test)}."""
    runs = []
    for (rate, seed), (validation, test) in scores.items():
        made = make_run("lora", "micro/qa", seed, learning_rate=rate, **options)
        runs.append(set_scores(made, validation, test))
    return runs


def set_scores(made, validation, test):
    sets = {"validation": {"accuracy": validation, "n": 100}, "test": {"accuracy": test, "n": 100}}
    scores = {name: {"step": 200, "sets": sets} for name in ("best", "last")}
    return dataclasses.replace(made, record={**made.record, "scores": scores}, curve=())


def chosen_rate(runs, rule="clean"):
    return selection.rates(frame.scores(runs), rule, frame.failures(runs)).loc[PLACE]


def test_the_rate_with_the_best_mean_validation_score_is_chosen(make_run):
    runs = grid_with(
        make_run, {(1e-3, 0): (0.6, 0.9), (1e-3, 1): (0.6, 0.9), (3e-3, 0): (0.9, 0.1), (3e-3, 1): (0.5, 0.1)}
    )
    found = chosen_rate(runs)
    assert found.learning_rate == 3e-3
    assert found.edge == "highest"
    assert found.tried == 2


def test_the_papers_rule_chooses_on_what_it_reports(make_run):
    runs = grid_with(make_run, {(1e-3, 0): (0.6, 0.9), (3e-3, 0): (0.9, 0.1)})
    assert chosen_rate(runs, "paper").learning_rate == 1e-3


def test_reported_scores_cannot_move_the_clean_choice(make_run):
    """Test scores turned upside down: same rates, same checkpoints."""
    first = {(rate, seed): (0.5 + rate * 100 + seed / 50, 0.5 + rate) for rate in (1e-3, 3e-3) for seed in (0, 1)}
    second = {place: (validation, 1 - test) for place, (validation, test) in first.items()}
    picked = [selection.chosen(frame.scores(grid_with(make_run, scores))) for scores in (first, second)]
    columns = ["key", "learning_rate", "checkpoint", "step"]
    assert picked[0][columns].equals(picked[1][columns])


def test_ties_go_to_the_smaller_rate_and_a_middle_rate_is_no_edge(make_run):
    runs = grid_with(make_run, {(1e-3, 0): (0.5, 0.5), (3e-3, 0): (0.7, 0.5), (1e-2, 0): (0.7, 0.5)})
    found = chosen_rate(runs)
    assert found.learning_rate == 3e-3
    assert found.edge == ""


def test_rates_are_compared_on_the_seeds_they_share(make_run):
    """The larger rate has only an easy seed more."""
    runs = grid_with(make_run, {(1e-3, 0): (0.6, 0.5), (3e-3, 0): (0.5, 0.5), (3e-3, 1): (0.99, 0.5)})
    found = chosen_rate(runs)
    assert found.learning_rate == 1e-3
    assert found.seeds == 1


def test_a_rate_at_which_a_seed_diverged_is_not_chosen(make_run):
    runs = grid_with(make_run, {(1e-3, 0): (0.6, 0.5), (1e-3, 1): (0.6, 0.5), (3e-3, 0): (0.9, 0.5)})
    runs.append(make_run("lora", "micro/qa", 1, learning_rate=3e-3, status="diverged"))
    assert chosen_rate(runs).learning_rate == 1e-3


def test_a_rate_before_one_that_diverged_is_no_edge(make_run):
    """Lack of memory says nothing of the score beyond."""
    runs = grid_with(make_run, {(1e-3, 0): (0.5, 0.5), (3e-3, 0): (0.6, 0.5)})
    beyond = [make_run("lora", "micro/qa", 0, learning_rate=1e-2, status=status) for status in ("diverged", "oom")]
    chosen = [chosen_rate([*runs, one_more]) for one_more in beyond]
    assert [(row.learning_rate, row.edge, row.tried) for row in chosen] == [(3e-3, "", 3), (3e-3, "highest", 2)]


def test_a_reported_cell_that_diverged_does_not_choose(make_run):
    """The rate is chosen on seed 200; at this rate one of the reported cells diverged."""
    runs = grid_with(make_run, {(1e-3, 200): (0.5, 0.5), (3e-3, 200): (0.6, 0.5), (3e-3, 0): (0.6, 0.5)})
    runs.append(make_run("lora", "micro/qa", 1, learning_rate=3e-3, status="diverged"))
    [here] = study.studies(exhibits.load("dora-table6"), runs)
    assert here.rates.learning_rate.tolist() == [3e-3]


def test_one_rate_has_no_edge(make_run):
    found = chosen_rate(grid_with(make_run, {(1e-3, 0): (0.6, 0.5)}))
    assert found.edge == ""
    assert found.tried == 1


def test_the_papers_checkpoint_is_the_best_of_the_curve_on_the_reported_set(make_run):
    made = make_run("lora", "micro/qa", 0)
    scores = frame.scores([made])
    peak = scores[scores.checkpoint == "peak"].iloc[0]
    best = max(made.curve, key=lambda point: point["scores"]["test"])
    assert (peak.step, peak.score) == (best["step"], best["scores"]["test"])


def test_arms_stand_in_the_order_of_their_numbers():
    given = ["lora rank=16", "full", "lora rank=1", "lora rank=2", "lora rank=1 alpha=0.5", "mine", "dora rank=4"]
    found = sorted(given, key=lambda arm: selection.arm_place(arm, ("full", "dora", "lora")))
    assert found[:2] == ["full", "dora rank=4"]
    assert found[2:] == ["lora rank=1", "lora rank=1 alpha=0.5", "lora rank=2", "lora rank=16", "mine"]


def test_a_panel_keeps_holes_and_the_keys_behind_every_score(make_grid):
    runs = make_grid(methods=("full", "lora"))[:-1]
    made = selection.panel(selection.chosen(frame.scores(runs)), "test", ("lora", "full"))
    assert made.arms == ("lora", "full")
    assert made.values.shape == (2, 3, 3)
    missing = [(a, t, s) for (a, t, s), key in __import__("numpy").ndenumerate(made.keys) if not key]
    assert len(missing) == 1
    assert made.arms[missing[0][0]] == "lora"
    assert {run.record["key"] for run in runs} == set(made.cells("full", "lora"))
    assert made.values[missing[0]] != pytest.approx(0)


def test_a_tasks_columns_stand_by_their_numbers_in_whatever_order_records_come():
    given = ("b size=256", "b size=64", "a", "b size=1024", "b size=16")
    assert selection.in_order(given) == ("b size=16", "b size=64", "b size=256", "b size=1024", "a")
    assert selection.in_order(given[::-1]) == selection.in_order(given)
