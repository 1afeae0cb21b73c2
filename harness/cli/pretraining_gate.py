"""Fill the cards of the backbones: whether pretraining matters, and whether every task passes its gate.

    deltabench sweep method=full 'model=micro-t5-*' model.weights=pretrained,random 'task=micro/*' seed=0,1
    python -m harness.cli.pretraining_gate results/store

The gate of a task: full fine-tuning of the smallest backbone reaches chance + 20 points on the test rows.
Scores are test scores of the checkpoint with the best validation score, the mean over seeds; a suite passes set by set.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.cli import command_line
from harness.experiments.grids import grid
from harness.store import archive, identity
from harness.store.store import Store
from tasks import registry as tasks

MARGIN = 0.2
WEIGHTS = ("pretrained", "random")
COMMAND = "deltabench sweep method=full model={model} model.weights=pretrained,random {tasks} seed={seeds}"
SEEDS = (0, 1)


@dataclass(frozen=True, order=True)
class TestSet:
    """A test set of a task, and the score of guessing on it."""

    task: str
    test: str
    chance: float
    recipe: str

    @property
    def name(self) -> str:
        """Return the name of the task, followed by that of the test set where it is not "test"."""
        return self.task if self.test == "test" else f"{self.task} {self.test}"


Scores = Mapping[tuple[TestSet, str], list[float]]  # (test set, weights) -> a score per seed


def scores(store: Store, model: str) -> dict[tuple[TestSet, str], list[float]]:
    """Return (test set, weights) -> test scores of finished cells with today's rows, weights and recipe."""
    scored: dict[tuple[TestSet, str], list[float]] = defaultdict(list)
    given = command_line.parse(COMMAND.format(model=model, tasks="task=micro/*", seeds=_listed(SEEDS)).split()[2:])
    for run in archive.from_store(store, [identity.key(cell) for cell in grid.expand([given.block])]):
        if run.record["status"] != "done":
            continue
        cell, facts = run.record["cell"], run.record["task_facts"]
        for test in facts["tests"]:
            chance = (facts.get("chances") or {}).get(test, facts["chance"])
            test_set = TestSet(cell["task"]["name"], test, round(chance, 4), cell["recipe"]["name"])
            score = run.record["scores"]["best"]["sets"][test][facts["metric"]]
            scored[test_set, cell["model"]["weights"]].append(score)
    return scored


def gated() -> list[str]:
    """Return the names of the tasks that must pass the gate."""
    return [name for name in tasks.catalogue() if name.startswith("micro/")]


def table(model: str, scored: Scores) -> dict[str, Any]:
    """Return the content of gate.json for one backbone, with the tasks that have both kinds of weights."""
    rows, both = {}, sorted({test_set for test_set, _ in scored if all((test_set, kind) in scored for kind in WEIGHTS)})
    for test_set in both:
        pretrained, random = (scored[test_set, kind] for kind in WEIGHTS)
        rows[test_set.name] = {
            "chance": test_set.chance,
            "pretrained": sum(pretrained) / len(pretrained),
            "random": sum(random) / len(random),
            "seeds": min(len(pretrained), len(random)),
        }
    seeds = int(min((row["seeds"] for row in rows.values()), default=0))
    names = list(dict.fromkeys(test_set.task for test_set in both))
    choice = "'task=micro/*'" if names == sorted(gated()) else f"task={','.join(names)}"
    recipes = " and ".join(sorted({f"recipe={test_set.recipe}" for test_set in both}))
    # A sweep runs seed by seed, so where fewer are done the first ones are.
    command = COMMAND.format(model=model, tasks=choice, seeds=_listed(SEEDS[:seeds]))
    return {"command": command, "recipe": recipes, "seeds": seeds, "tasks": rows}


def _listed(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


def main(folder: str) -> int:
    """Write gate.json and the card of every backbone that has records. Return 1 where a task fails its gate."""
    from tasks.microworld.pretraining import shipping  # here, because it imports torch

    store, failed = Store(folder), []
    store.check_present()
    for card in sorted(path.parent for path in shipping.WEIGHTS.glob("*/pretraining.json")):
        model = card.name
        gate = table(model, scores(store, model))
        if not gate["tasks"]:
            continue
        (card / shipping.GATE).write_text(json.dumps(gate, indent=1) + "\n", encoding="utf-8")
        shipping.write_card(card)
        for task, row in gate["tasks"].items():
            passed = row["pretrained"] >= row["chance"] + MARGIN
            print(f"{model} {task}: {row['pretrained']:.3f}, random {row['random']:.3f}, chance {row['chance']:.3f}")
            failed += [] if passed else [f"{model} {task}"]
    print(f"below chance + {MARGIN:g}: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
