"""A search over the rate and other fields: what it tries, what it chooses, and what it refuses. Nothing trains here."""

import itertools
import math
import sys
from types import SimpleNamespace

import pytest

from harness.cli import command_line, record_text
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.experiments.grids.blocks import RATE, USUAL_SEED
from harness.experiments.rates import rate_tuning
from harness.experiments.rates.rate_search import FARTHEST
from harness.experiments.rates.several_axes import points, searched_fields
from harness.store import identity

RANK = "search.method.rank"
BLOCK = {
    "method": ["lora", "full"], "model": "micro-t5-nano", "task": "micro/qa", RATE: "tuned", "seed": [0, 1],
    RANK: [2, 8, 32], searched_fields.TRIALS: 8,
}  # fmt: skip


class Drawn:
    """A stand-in for Optuna's study: it draws points in a fixed order and notes what it is told."""

    told: list[tuple[dict[str, int], object]] = []  # noqa: RUF012

    def __init__(self):
        self.queue, self.number = [], itertools.count()

    def enqueue_trial(self, params):
        self.queue.append(params)

    def ask(self, space):
        at = next(self.number)
        drawn = {name: values[(7 * at + len(name)) % len(values)] for name, values in space.items()}
        return SimpleNamespace(params=self.queue.pop(0) if self.queue else drawn)

    def tell(self, trial, value=None, state=None):
        self.told.append((trial.params, state or value))


@pytest.fixture
def stub(monkeypatch):
    """Put a stand-in in the place of Optuna."""
    package = SimpleNamespace(
        logging=SimpleNamespace(set_verbosity=lambda level: None, ERROR=40),
        samplers=SimpleNamespace(TPESampler=lambda seed, n_startup_trials: None),
        distributions=SimpleNamespace(
            IntDistribution=lambda low, high: [*range(low, high + 1)], CategoricalDistribution=list
        ),
        trial=SimpleNamespace(TrialState=SimpleNamespace(FAIL="fail")),
        create_study=lambda direction, sampler: Drawn(),
    )
    monkeypatch.setitem(sys.modules, "optuna", package)
    monkeypatch.setattr(Drawn, "told", [])
    return package


class Landscape:
    """A store in which the cells that were run have the score of a function (method, rate, rank), or its status."""

    def __init__(self, score):
        self.score, self.known = score, {}

    def run(self, cells):
        new = [cell for cell in cells if identity.key(cell) not in self.known]
        for cell in new:
            rank = cell.method.fields.get("rank")
            self.known[identity.key(cell)] = self.score(cell.method.name, cell.recipe.learning_rate, rank)
        return new

    def status(self, key):
        score = self.known.get(key, "missing")
        return score if isinstance(score, str) else "done"

    def read(self, key):
        if self.status(key) != "done":
            return {"status": self.status(key)}
        sets = {"validation": {"exact_match": self.known[key]}}
        return {"status": "done", "task_facts": {"metric": "exact_match"}, "scores": {"best": {"sets": sets}}}


def best_at(rate, rank):
    """Return a score with its maximum at a rate and a rank."""
    return lambda method, at, of: (
        0.9 - 0.05 * math.log10(at / rate) ** 2 - (0.0 if of is None else 0.05 * math.log2(of / rank) ** 2)
    )


def searched(store, block=BLOCK):
    """Run every round of a grid; return the last plan and the cells of each round."""
    rounds, spent = [], set()
    while True:
        planned = rate_tuning.expand([block], store, spent=spent)
        rounds.append(store.run(planned.now))
        spent |= {identity.key(cell) for cell in planned.now}
        if not planned.searching:
            return planned, rounds


def test_every_arm_has_the_same_number_of_trials_in_rounds_from_its_usual_point(stub):
    store = Landscape(best_at(1e-2, 8))
    planned, rounds = searched(store)
    assert {name: len(search.path) for name, search in planned.searches.items()} == {
        "full micro-t5-nano micro/qa": 8,
        "lora micro-t5-nano micro/qa": 8,
    }
    trials = [cell for cells in rounds[:-1] for cell in cells]
    assert len(trials) == len({identity.key(cell) for cell in trials}) == 16
    assert {cell.seed for cell in trials} == {USUAL_SEED}
    first = planned.searches["lora micro-t5-nano micro/qa"].path[0]
    assert (first.learning_rate, first.fields) == (1e-2, {"method.rank": 8})
    assert all(trial.fields == {} for trial in planned.searches["full micro-t5-nano micro/qa"].path)


def test_the_best_point_is_reported_with_the_path_in_its_record(stub):
    store = Landscape(best_at(1e-2, 8))
    planned, rounds = searched(store)
    for cell in rounds[-1]:
        assert cell.seed in (0, 1)
        path = next(search.path for name, search in planned.searches.items() if name.startswith(cell.method.name))
        best = max(path, key=lambda trial: trial.outcome.scores[USUAL_SEED])
        assert cell.recipe.learning_rate == best.learning_rate
        assert cell.method.fields.get("rank") == best.fields.get("method.rank")
        search = cell.recipe.rate_search
        assert (search["most"], len(search["tried"])) == (8, 8)
        if cell.method.name == "lora":
            assert search["tried"][0] == [1e-2, store.score("lora", 1e-2, 8), "done", {"method.rank": 8}]
            text = dict(record_text._search(search))["tuned"]
            assert text.startswith("1e-2 method.rank=8 ")
    assert len(rounds[-1]) == 4


def test_a_search_that_was_cut_off_goes_on_where_it_was(stub):
    whole, _ = searched(Landscape(best_at(1e-2, 8)))
    store = Landscape(best_at(1e-2, 8))
    store.run(rate_tuning.expand([BLOCK], store, spent=()).now)
    again, rounds = searched(store)
    assert {name: search.to_json() for name, search in again.searches.items()} == {
        name: search.to_json() for name, search in whole.searches.items()
    }
    assert len(rounds) == 2


def test_points_that_diverged_are_told_as_the_worst_and_failures_as_nothing(stub):
    def score(method, rate, rank):
        return "diverged" if rate > 3e-3 else "failed" if rank == 2 else best_at(1e-3, 8)(method, rate, rank)

    planned, _ = searched(Landscape(score), {**BLOCK, "method": "lora"})
    [search] = planned.searches.values()
    told = {(trial.learning_rate, trial.fields["method.rank"]): trial.outcome.status for trial in search.path}
    assert {"diverged", "failed", "done"} == set(told.values())
    values = [value for _, value in Drawn.told]
    assert points.WORST in values
    assert "fail" in values
    assert search.choice.learning_rate <= 3e-3


def test_where_every_point_diverges_nothing_is_reported(stub):
    planned, rounds = searched(Landscape(lambda *_: "diverged"), {**BLOCK, "method": "lora"})
    assert [*planned.lost.values()] == [2]
    assert all(cell.seed == USUAL_SEED for cells in rounds for cell in cells)
    assert len([cell for cells in rounds for cell in cells]) == 8


def test_a_value_that_no_cell_can_have_is_a_point_without_a_score(stub):
    block = {**BLOCK, "method": "lora", RANK: [8, 100_000]}
    planned, _ = searched(Landscape(best_at(1e-2, 8)), block)
    [search] = planned.searches.values()
    assert {trial.fields["method.rank"]: trial.outcome.status for trial in search.path}[8] == "done"
    assert search.fields == {"method.rank": 8}


def test_a_best_rate_at_the_end_of_the_reach_is_marked(stub):
    planned, _ = searched(
        Landscape(lambda method, rate, rank: min(0.9, rate)), {**BLOCK, "method": "full", searched_fields.TRIALS: 17}
    )
    [search] = planned.searches.values()
    assert len(search.path) == 2 * FARTHEST + 1
    assert search.choice.edge == "highest"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({RANK: [8]}, r"search\.method\.rank=8: a search needs two values"),
        ({RANK: [8, 8]}, r"needs two values"),
        ({"method.rank": 4}, r"method\.rank is also set in this grid"),
        ({"search.recipe.learning_rate": [1e-3, 1e-2]}, r"takes rates by itself"),
        ({"search.method.ranc": [1, 2]}, r"Did you mean.*method\.rank"),
        ({searched_fields.TRIALS: 2}, r"search\.trials=2: .* from 4 to 200"),
        ({searched_fields.TRIALS: "many"}, r"search\.trials=many: "),
        ({searched_fields.TRIALS: [8, 9]}, r"search\.trials=8,9: "),
        ({"parents.other": {"task": "micro/qa"}}, r"build on other cells"),
        ({RATE: "x1"}, r"add recipe\.learning_rate=tuned"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(stub, change, sentence):
    with pytest.raises(UsageError, match=sentence):
        rate_tuning.expand([{**BLOCK, **change}], Landscape(best_at(1e-2, 8)), spent=())


def test_trials_without_another_field_are_refused(stub):
    block = {axis: value for axis, value in BLOCK.items() if axis != RANK}
    with pytest.raises(UsageError, match=r"search\.trials=8: no other field is searched"):
        rate_tuning.expand([block], Landscape(best_at(1e-2, 8)), spent=())


def test_one_cell_has_no_search():
    with pytest.raises(UsageError, match="searched with the rate tuned"):
        grid.expand([{**BLOCK, RATE: 1e-3}])


def test_without_optuna_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"needs Optuna, which is not installed: pip install \"deltabench\[optuna\]\""):
        rate_tuning.expand([BLOCK], Landscape(best_at(1e-2, 8)), spent=())


def test_a_command_line_names_searched_fields_by_their_types():
    given = command_line.parse(["method=lora", RATE + "=tuned", "search.method.rank=4,8", "search.trials=12"])
    assert given.block == {"method": ["lora"], RATE: ["tuned"], RANK: [4, 8], searched_fields.TRIALS: [12]}


def test_optuna_finds_a_better_point_than_the_usual_one():
    pytest.importorskip("optuna")
    store = Landscape(best_at(3e-2, 32))
    planned, _ = searched(store, {**BLOCK, searched_fields.TRIALS: 16})
    again, _ = searched(Landscape(best_at(3e-2, 32)), {**BLOCK, searched_fields.TRIALS: 16})
    for name, search in planned.searches.items():
        assert len(search.path) == 16
        usual, *_ = search.path
        assert search.choice.mean > usual.outcome.scores[USUAL_SEED] + 0.01
        assert search.to_json() == again.searches[name].to_json()
