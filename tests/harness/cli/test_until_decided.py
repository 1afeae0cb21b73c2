"""Seeds until an exhibit is decided, with cells that are made up instead of trained."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study import open_rates
from harness.cli import until_decided
from harness.cli.commands import check, reproduce
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.experiments import exhibits
from harness.store import archive, identity, requested_grids
from harness.store.store import Store
from tests.harness import made_runs

YAML = """
title: A made-up exhibit
source: no paper
ceiling: full
view: [suite]
claims: [{claim: scores-above, left: lora, right: adapter}, {claim: scores-above, left: full, right: prompt}]
grid: {quick: {model: micro-t5-nano, task: [micro/sentiment], method: [full, lora, adapter, prompt], seed: [0, 1, 2]}}
"""
NOISY = {"quality": {"full": 1.0, "lora": 0.9, "adapter": 0.6, "prompt": 0.1}}
"""Of lora and adapter only more than three seeds decide; of full and prompt three do."""
EQUAL = {"quality": {"full": 1.0, "lora": 0.7, "adapter": 0.7, "prompt": 0.1}}


class Bench:
    """A store, and a sweep that makes up the record of each cell."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.store, self.options, self.batches = Store(path / "store"), options, list[list[Cell]]()
        self.stop_after: int | None = None

    def run_cells(self, many: Sequence[Cell], options: SweepOptions, *_: Any) -> int:
        todo = [cell for cell in many if self.store.status(identity.key(cell)) != "done"]
        self.batches.append(todo[: self.stop_after])
        for cell in self.batches[-1]:
            self.finish(cell)
        requested_grids.note(self.store, requested_grids.of(options.name, many))
        return 130 if len(self.batches[-1]) < len(todo) else 0

    def finish(self, cell: Cell) -> None:
        options = {**self.options, "learning_rate": cell.recipe.learning_rate, "best_rate": cell.recipe.learning_rate}
        options["noise"] = 0.06 if cell.method.name in ("lora", "adapter") else 0.004
        made, key = made_runs.run(cell.method.name, cell.task.name, cell.seed, **options), identity.key(cell)
        folder = self.store.begin(cell)
        for point in made.curve:
            folder.append("curve.jsonl", point)
        about = {"key": key, "cell": identity.to_json(cell), "provenance": {"fingerprint": "f"}, "notes": {}}
        self.store.finish(key, folder, {**made.record, **about, "time": {**made.record["time"], "wall_s": 8.0}})

    def seeds(self) -> Counter[str]:
        records = (self.store.read(key) for key in list(self.store.keys()))
        return Counter(record["cell"]["method"]["name"] for record in records if record)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    (tmp_path / "made-up.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exhibits, "load", lambda *given: exhibits.read(tmp_path / "made-up.yaml"))
    monkeypatch.setattr(open_rates, "tuned", lambda content: True)
    monkeypatch.setattr("harness.execution.sweep_plan._preflight", lambda *given: {})

    def bench(**options: Any) -> Bench:
        made = Bench(tmp_path, **options)
        monkeypatch.setattr(sweep, "run_cells", made.run_cells)
        return made

    return bench


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    return reproduce.main(parser.parse_args(["made-up", "store=store", *words]))


def index() -> dict[str, Any]:
    return dict(json.loads(Path("results/exhibits/made-up/quick/exhibit.json").read_text()))


def verdicts() -> list[str]:
    return [finding["verdict"] for finding in index()["findings"]]


def test_seeds_are_added_to_undecided_arms_alone_until_they_are_decided(make: Callable[..., Bench], capsys) -> None:
    bench = make(**NOISY)
    assert call("--until-decided") == 0
    seeds = bench.seeds()
    assert seeds["full"] == seeds["prompt"] == 3
    assert seeds["lora"] == seeds["adapter"] in (5, 8, 12, 20)
    assert verdicts() == ["reproduced", "reproduced"]
    out = capsys.readouterr().out
    assert out.index("forecast: ") < out.index("more seeds where") < out.index("it took")
    assert "comparisons: 2 decided" in out
    assert index()["looks"]["made"] == [look for look in (3, 5, 8, 12, 20) if look <= seeds["lora"]]
    exhibit, planned = exhibits.load("made-up"), bench.batches[0]
    present = until_decided.with_present(exhibit, exhibit.blocks("quick"), bench.store, planned)
    assert len(present) == sum(seeds.values())
    call("--until-decided")  # the same call adds nothing
    assert bench.seeds() == seeds
    assert bench.batches[-1] == []


def test_equal_arms_stop_at_the_last_look_that_is_allowed(make: Callable[..., Bench], capsys) -> None:
    bench = make(**EQUAL)
    assert call("--until-decided", "--max-seeds", "10") == 0
    assert bench.seeds()["lora"] <= 8
    assert verdicts()[0] == "inconclusive"


def test_a_loop_that_ends_early_goes_on_where_it_stopped(make: Callable[..., Bench]) -> None:
    whole = make(**NOISY)
    call("--until-decided")
    wanted, batches = verdicts(), whole.seeds()
    Path("store").rename("first")
    bench = make(**NOISY)
    bench.stop_after = 8
    codes = [call("--until-decided")]
    while codes[-1] == 130 and len(codes) < 8:
        codes.append(call("--until-decided"))
    assert codes[0] == 130
    assert codes[-1] == 0
    assert bench.seeds() == batches
    assert verdicts() == wanted


def test_a_plain_run_afterwards_is_no_free_look(make: Callable[..., Bench], capsys) -> None:
    bench = make(**EQUAL)
    call("--until-decided", "--max-seeds", "5")
    judged, seeds = index()["findings"], bench.seeds()
    call()
    assert bench.seeds() == seeds
    assert index()["findings"] == judged


def test_check_is_no_free_look_either(make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    make(**EQUAL)
    monkeypatch.setattr(archive, "reference", lambda name: Path("none.gz"))
    call("--until-decided", "--max-seeds", "5")
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    capsys.readouterr()
    check.main(parser.parse_args(["made-up", "store=store", "--json"]))
    assert json.loads(capsys.readouterr().out)["findings"] == index()["findings"]


def test_a_plain_run_before_is_judged_anew(make: Callable[..., Bench]) -> None:
    """What three seeds gave at one look counts as the first of several looks."""
    make(**NOISY)
    call()
    assert "looks" not in index()
    plain = index()["findings"]
    call("--until-decided", "--max-seeds", "3")
    assert index()["looks"]["made"] == [3]
    pairs = zip(plain, index()["findings"], strict=True)
    assert all(more["comparisons"][0]["p"] > single["comparisons"][0]["p"] for single, more in pairs)


def test_fewer_seeds_than_the_first_look_needs_end_with_a_sentence(make: Callable[..., Bench], capsys) -> None:
    make(**NOISY)
    assert call("seed=0,1", "--until-decided", "--max-seeds", "2") == 0
    assert "the first look is after 3 seeds; --max-seeds allows more" in capsys.readouterr().out


def test_dry_run_shows_the_looks_and_the_largest_budget(make: Callable[..., Bench], capsys) -> None:
    make(**NOISY)
    assert call("--until-decided", "--max-seeds", "12", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "looks: after 3, 5, 8, 12 seeds; the exhibit itself has 3" in out
    assert "at most 36 more cells, up to 12 seeds" in out
    assert call("--until-decided", "--max-seeds", "4", "--dry-run") == 0
    assert "no seeds are added; the next look is after 5, so give --max-seeds 5 or more" in capsys.readouterr().out
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-seeds", "2"), "has 3 seeds already; give 3 or more"),
        (("--max-seeds", "101"), "the last declared look is after 100 seeds"),
        (("--max-seeds", "many"), "give a whole number of seeds"),
        (("--max-seeds", "0"), "give a whole number of seeds"),
        (("--max-seeds", "-3"), "give a whole number of seeds"),
        (("--max-seeds", "1e1"), "give a whole number of seeds"),
        (("--for", "0.1s"), "the shortest cell takes about"),
    ],
)
def test_bad_numbers_are_usage_errors_before_anything_runs(make: Callable[..., Bench], words, message: str) -> None:
    bench = make(**NOISY)
    with pytest.raises(UsageError, match=message):
        call("--until-decided", *words)
    assert bench.batches == []
    assert not Path("results").exists()


def test_an_exhibit_without_claims_and_a_number_without_a_loop_are_usage_errors(make: Callable[..., Bench]) -> None:
    make(**NOISY)
    with pytest.raises(UsageError, match="only --until-decided adds seeds"):
        call("--max-seeds", "12")
    Path("made-up.yaml").write_text(YAML.replace("claims:", "# claims:"))
    with pytest.raises(UsageError, match="it has no claims"):
        call("--until-decided")
