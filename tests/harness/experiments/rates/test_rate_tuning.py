"""Blocks at the rates `chosen` and `tuned`: their cells follow from the validation scores of cells that tried rates."""

import math

import pytest

from harness.config import conf_files
from harness.errors import UsageError
from harness.experiments.grids.blocks import RATE, USUAL_SEED
from harness.experiments.rates import rate_tuning
from harness.store import identity

TRIED = {
    "method": ["lora", "full"],
    "model": "micro-t5-nano",
    "task": "micro/qa",
    RATE: ["x0.3", "x1", "x3"],
    "seed": 100,
}
FRESH = {**TRIED, RATE: "chosen", "seed": [0, 1]}


class Scored:
    """A store in which cells have these validation scores; a cell without one has not run."""

    def __init__(self, scores):
        self.scores = scores

    def status(self, key):
        return "missing" if key not in self.scores else "diverged" if self.scores[key] is None else "done"

    def read(self, key):
        if self.status(key) != "done":
            return {"status": self.status(key)}
        sets = {"validation": {"exact_match": self.scores[key]}}
        return {"status": "done", "task_facts": {"metric": "exact_match"}, "scores": {"best": {"sets": sets}}}


def scored(score):
    tried = rate_tuning.expand([TRIED], Scored({})).cells
    return Scored({identity.key(cell): score(cell) for cell in tried})


def rates(planned, method):
    return {cell.recipe.learning_rate for cell in planned.cells if cell.method.name == method and cell.seed != 100}


def test_nothing_is_chosen_before_all_have_finished():
    planned = rate_tuning.expand([TRIED, FRESH], Scored({}))
    assert len(planned.cells) == 6
    assert planned.waiting == 4
    partial = scored(lambda cell: 0.5)
    del partial.scores[next(iter(partial.scores))]
    assert rate_tuning.expand([TRIED, FRESH], partial).waiting == 2


def test_the_best_validation_score_chooses_and_the_smaller_rate_of_equals():
    planned = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: 0.9 if cell.recipe.learning_rate < 5e-3 else 0.4))
    assert planned.waiting == 0
    assert len(planned.cells) == 10
    assert rates(planned, "lora") == {3e-3}
    assert rates(planned, "full") == {9e-4}  # 9e-4 and 3e-3 score alike


def test_a_rate_at_which_a_cell_broke_is_not_chosen():
    planned = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: None if cell.recipe.learning_rate > 5e-3 else 0.1))
    assert rates(planned, "full") == {9e-4}
    broken = rate_tuning.expand([TRIED, FRESH], scored(lambda cell: None))
    assert rates(broken, "lora") == {3e-3}
    assert broken.waiting == 0


def test_chosen_from_nothing_is_an_error():
    with pytest.raises(UsageError, match="no other block"):
        rate_tuning.expand([FRESH], Scored({}))


SEARCHED = {"method": ["lora", "full"], "model": "micro-t5-nano", "task": "micro/qa", RATE: "tuned", "seed": [0, 1]}


class Landscape(Scored):
    """A store in which the cells that were run have the score of a function (method, rate); "diverged" is a status."""

    def __init__(self, score):
        super().__init__({})
        self.score = score

    def run(self, cells):
        """Run cells, and return how many had not run before."""
        new = [cell for cell in cells if identity.key(cell) not in self.scores]
        self.scores |= {identity.key(cell): self.score(cell.method.name, cell.recipe.learning_rate) for cell in new}
        return len(new)

    def status(self, key):
        score = self.scores.get(key)
        return score if isinstance(score, str) else super().status(key)


def top(best):
    """Return a score with its maximum at this rate."""
    return lambda method, rate: 0.9 - 0.05 * math.log10(rate / best) ** 2


def searched(store, block=SEARCHED):
    """Run every round of a grid; return the last plan and the number of new cells of each round."""
    counts, spent = [], set()
    while True:
        planned = rate_tuning.expand([block], store, spent=spent)
        counts.append(store.run(planned.now))
        spent |= {identity.key(cell) for cell in planned.now}
        if not planned.searching:
            return planned, counts


def test_a_tuned_rate_is_searched_for_each_arm_and_reported_on_other_seeds():
    store = Landscape(lambda method, rate: top(1e-2 if method == "lora" else 1e-3)(method, rate))
    planned, counts = searched(store)
    reported = [cell for cell in planned.cells if cell.seed != USUAL_SEED]
    assert planned.now == reported
    assert {(cell.method.name, cell.recipe.learning_rate, cell.seed) for cell in reported} == {
        ("lora", 1e-2, 0), ("lora", 1e-2, 1), ("full", 9.487e-4, 0), ("full", 9.487e-4, 1)
    }  # fmt: skip
    assert counts == [6, 3, 2, 4]  # full's usual rate is 3e-3: one more half decade below, beside lora's refinement
    assert not planned.waiting
    assert set(planned.searches) == {"lora micro-t5-nano micro/qa", "full micro-t5-nano micro/qa"}


def test_a_cell_at_a_tuned_rate_has_the_key_of_its_number_and_the_path_beside_it():
    planned, _ = searched(Landscape(top(1e-2)), {**SEARCHED, "method": "lora"})
    [cell, _] = [cell for cell in planned.cells if cell.seed != USUAL_SEED]
    [by_hand, _] = rate_tuning.expand([{**SEARCHED, "method": "lora", RATE: 1e-2}], Scored({})).cells
    assert identity.key(cell) == identity.key(by_hand)
    content = identity.to_json(cell)["recipe"]["rate_search"]
    assert [rate for rate, _, _ in content["tried"]] == [3.162e-3, 1e-2, 3.162e-2, 5.623e-3, 1.778e-2]
    assert (content["seeds"], content["edge"], content["start"]) == ([USUAL_SEED], "", 1e-2)
    assert identity.from_json(identity.to_json(cell)) == cell
    assert "rate_search" not in identity.to_json(by_hand)["recipe"]


def test_a_search_goes_on_where_it_was_and_sweeps_share_trials():
    store = Landscape(top(1e-2))
    first = rate_tuning.expand([SEARCHED], store, spent=())
    store.run(first.now[:2])
    assert len(rate_tuning.expand([SEARCHED], store, spent=()).now) == 4
    _, counts = searched(store)
    assert counts[0] == 4
    _, counts = searched(store, {**SEARCHED, "method": ["lora", "adapter"], "seed": [4]})
    assert counts == [3, 2, 2]  # adapter's trials alone, and two reported cells
    _, counts = searched(store)
    assert counts == [0]


def test_an_arm_without_a_working_rate_is_lost_and_the_others_go_on():
    planned, _ = searched(Landscape(lambda method, rate: "diverged" if method == "lora" else 0.5 - rate))
    assert planned.lost == {"lora micro-t5-nano micro/qa": 2}
    assert {cell.method.name for cell in planned.now} == {"full"}
    assert planned.waiting == 0


def test_a_trial_that_failed_runs_again_with_the_next_command():
    store = Landscape(lambda method, rate: "failed" if rate > 0.02 else top(1e-2)(method, rate))
    planned, _ = searched(store, {**SEARCHED, "method": "lora"})
    [search] = planned.searches.values()
    assert search.choice.edge == ""
    assert "failed" in [trial.outcome.status for trial in search.path]
    assert rate_tuning.expand([{**SEARCHED, "method": "lora"}], store, spent=()).searching == 1
    assert rate_tuning.expand([{**SEARCHED, "method": "lora"}], store).searching == 0  # for a table it has ended


def test_what_trains_nothing_has_no_rate_to_search_for():
    planned, _ = searched(Landscape(top(1e-2)), {**SEARCHED, "method": ["none", "lora"]})
    assert planned.unsearched == ("none",)
    assert {cell.seed for cell in planned.cells if cell.method.name == "none"} == {0, 1}
    with pytest.raises(UsageError, match="none trains nothing"):
        rate_tuning.expand([{**SEARCHED, "method": "none"}], Scored({}))


def test_parents_run_at_their_usual_rate_and_a_child_is_searched_for():
    block = {**SEARCHED, "method": "adapterfusion", "parents.a": {"task": "micro/sentiment"}}
    planned = rate_tuning.expand([block], Scored({}), spent=())
    assert planned.searching == 1
    assert [cell.method.name for cell in planned.now].count("pfeiffer") == 1
    done, _ = searched(Landscape(top(1e-2)), block)
    assert [(cell.method.name, cell.seed) for cell in done.now] == [
        ("pfeiffer", 0), ("adapterfusion", 0), ("pfeiffer", 1), ("adapterfusion", 1)
    ]  # fmt: skip


BUILT = {
    **SEARCHED, "method": ["pfeiffer", "adapterfusion"], "task": ["micro/qa", "micro/sentiment"],
    "parents.a": {"method": "pfeiffer", "task": "micro/sentiment"},
}  # fmt: skip


def test_a_parent_that_is_searched_for_too_is_taken_at_its_chosen_rate():
    store = Landscape(lambda method, rate: top(1e-3 if method == "pfeiffer" else 1e-2)(method, rate))
    first = rate_tuning.expand([BUILT], store, spent=())
    assert {cell.method.name for cell in first.now} == {"pfeiffer"}, "a child waits for its parent's rate"
    assert first.more(5) == 2 * (5 - 3) + 2 * 5, "and the trials of its search are counted before it begins"
    done, _ = searched(store, BUILT)
    assert not done.waiting
    cells = identity.by_key(done.cells)
    children = [cell for cell in cells.values() if cell.method.name == "adapterfusion"]
    assert {cell.seed for cell in children} == {0, 1, USUAL_SEED}
    for cell in children:
        ((_, parent),) = cell.parents
        assert (cells[parent].recipe.learning_rate, cells[parent].seed) == (1e-3, cell.seed)


def test_a_parent_at_a_rate_of_its_own_keeps_it():
    block = {**BUILT, "parents.a": {"method": "pfeiffer", "task": "micro/sentiment", RATE: "x0.3"}}
    done, _ = searched(Landscape(top(1e-3)), block)
    cells = identity.by_key(done.cells)
    rates = [cells[key].recipe.learning_rate for cell in cells.values() for _, key in cell.parents]
    assert rates == [pytest.approx(3e-3)] * len(rates)


def test_what_builds_on_an_arm_without_a_rate_is_lost_with_it():
    done, _ = searched(Landscape(lambda method, rate: "diverged" if method == "pfeiffer" else 0.5), BUILT)
    assert done.waiting == 0
    assert not done.now
    assert len(done.lost) == 4
    assert set(done.lost) <= set(done.searches)


def test_a_cell_that_trains_nothing_waits_for_the_rate_of_its_parent():
    trained = {**SEARCHED, "method": "lora", "task": ["micro/qa", "micro/sentiment"]}
    moved = {**SEARCHED, "method": "reuse", "parents.source": {"method": "lora", "task": "micro/sentiment"}}
    store = Landscape(top(1e-3))
    assert rate_tuning.expand([trained, moved], store, spent=()).waiting == 6
    while (planned := rate_tuning.expand([trained, moved], store, spent=())).searching:
        store.run(planned.now)
    cells = identity.by_key(planned.cells)
    assert planned.unsearched == (), "the rate of its parent is searched for"
    sources = [cells[key] for cell in cells.values() if cell.method.name == "reuse" for _, key in cell.parents]
    assert {(cell.recipe.learning_rate, cell.seed) for cell in sources} == {(1e-3, 0), (1e-3, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({RATE: ["tuned", "x1", "x3"]}, r"recipe.learning_rate=tuned,x1,x3: tuned searches .* stands alone"),
        ({"tuning_seed": [5, 1]}, r"tuning_seed=5,1: seed 1 is reported, too"),
        ({"seed": [0, USUAL_SEED]}, rf"seed {USUAL_SEED} is reported, too"),
        ({RATE: {"lora": "tuned", "default": 1e-3}}, "is a search with several cells"),
        ({RATE: "tuend"}, "recipe.learning_rate=tuend: it must be a number. Did you mean tuned"),
    ],
)
def test_what_a_search_cannot_be_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        rate_tuning.expand([{**SEARCHED, **change}], Scored({}), spent=())


def test_a_recipe_without_a_rate_has_no_start(tmp_path):
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "bare.yaml").write_text("name: bare\nsteps: 20\n")
    with (
        conf_files.looking_into(tmp_path),
        pytest.raises(UsageError, match=r"no rate for lora .* a search could start"),
    ):
        rate_tuning.expand([{**SEARCHED, "method": "lora", "recipe": "bare"}], Scored({}), spent=())


def test_several_rates_of_a_command_line_are_chosen_on_a_tuning_seed():
    block = {**SEARCHED, RATE: ["x0.3", "x1"], "tuning_seed": [9]}
    blocks = rate_tuning.of_words(block)
    planned = rate_tuning.expand(blocks, Scored({}))
    assert (len(planned.cells), planned.waiting) == (4, 4)
    assert {cell.seed for cell in planned.cells} == {9}
    with pytest.raises(UsageError, match="seed 1 is reported, too"):
        rate_tuning.of_words({**block, "tuning_seed": [1]})
    without_seed = {axis: choice for axis, choice in block.items() if axis != "seed"}
    with pytest.raises(UsageError, match="seed 0 is reported, too"):  # the usual seed
        rate_tuning.of_words({**without_seed, "tuning_seed": [0]})


def test_a_child_of_parents_has_one_arm_on_all_seeds():
    """A chosen rate of a method that builds on others: its parents differ by their seeds alone."""
    tried = {**TRIED, "method": "adapterfusion", "parents.a": {"task": "micro/sentiment"}}
    fresh = {**tried, RATE: "chosen", "seed": [0, 1]}
    store = Landscape(top(1e-2))
    store.run(rate_tuning.expand([tried], store).cells)
    planned = rate_tuning.expand([tried, fresh], store)
    assert planned.waiting == 0
    assert {cell.seed for cell in planned.cells if cell.method.name == "adapterfusion"} == {0, 1, 100}


def test_a_delta_is_evaluated_elsewhere_at_the_rate_that_was_chosen_for_it():
    """The rate `chosen` of a parent is that of its own arm on its own task; the child trains nothing and has none."""
    tasks = ["micro/qa", "micro/inference"]
    tried = {**TRIED, "task": tasks}
    fresh = {**tried, RATE: "chosen", "seed": [0, 1]}
    source = {"method": ["lora", "full"], "task": tasks, RATE: "chosen"}
    moved = {"model": "micro-t5-nano", "method": "reuse", "task": tasks, "parents.source": source, "seed": [0, 1]}
    best = {("lora", "micro/qa"): 1e-2, ("lora", "micro/inference"): 3e-3, ("full", "micro/qa"): 3e-3}
    first = rate_tuning.expand([tried, fresh, moved], Scored({}))
    assert {cell.seed for cell in first.cells} == {100}
    assert first.waiting == 8 + 16
    scores = {
        identity.key(cell): -abs(
            math.log(cell.recipe.learning_rate / best.get((cell.method.name, cell.task.name), 1e-2))
        )
        for cell in first.cells
    }
    planned = rate_tuning.expand([tried, fresh, moved], Scored(scores))
    assert planned.waiting == 0
    by_key = identity.by_key(planned.cells)
    evaluated = [cell for cell in planned.cells if cell.method.name == "reuse"]
    assert len(evaluated) == len(tasks) * len(tasks) * 2 * 2
    chosen = {
        (cell.method.name, cell.task.name): cell.recipe.learning_rate
        for cell in planned.cells if cell.seed != 100 and not cell.parents
    }  # fmt: skip
    assert len(set(chosen.values())) > 1
    for cell in evaluated:
        [(_, key)] = cell.parents
        parent = by_key[key]
        assert parent.recipe.learning_rate == chosen[parent.method.name, parent.task.name]
        assert parent.seed == cell.seed
    assert len([cell for cell in planned.cells if cell.seed != 100 and not cell.parents]) == 2 * 2 * 2


def test_a_rate_that_is_a_map_of_methods_is_tried_for_a_chosen_one():
    """Its numbers are chosen among for each method."""
    tried = {**TRIED, RATE: [{"full": 1e-3, "lora": 1e-2}, {"full": 3e-3, "default": 3e-2}, {"default": 3e-2}]}
    store = Landscape(top(3e-3))
    assert rate_tuning.expand([tried, FRESH], store).waiting == 4
    store.run(rate_tuning.expand([tried], store).cells)
    planned = rate_tuning.expand([tried, FRESH], store)
    assert (rates(planned, "full"), rates(planned, "lora")) == ({3e-3}, {1e-2})
    assert planned.waiting == 0
