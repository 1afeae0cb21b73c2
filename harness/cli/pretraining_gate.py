"""Does pretraining matter, and does every task pass its gate? Fills the cards from the records of a store.

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

from harness.cli import arguments
from harness.experiments import grid
from harness.store import archive, identity
from harness.store.store import Store
from tasks import registry as tasks

MARGIN = 0.2
WEIGHTS = ("pretrained", "random")
COMMAND = "deltabench sweep method=full model={model} model.weights=pretrained,random {tasks} seed={seeds}"
SEEDS = (0, 1)


@dataclass(frozen=True, order=True)
class Asked:
    """A test set of a task, and what guessing scores there."""

    task: str
    test: str
    chance: float
    recipe: str

    @property
    def name(self) -> str:
        return self.task if self.test == "test" else f"{self.task} {self.test}"


Scores = Mapping[tuple[Asked, str], list[float]]  # (test set, weights) -> a score per seed


def scores(store: Store, model: str) -> dict[tuple[Asked, str], list[float]]:
    """(test set, weights) -> test scores of the command's finished cells with today's rows, weights and recipe."""
    found: dict[tuple[Asked, str], list[float]] = defaultdict(list)
    said = arguments.parse(COMMAND.format(model=model, tasks="task=micro/*", seeds=_listed(SEEDS)).split()[2:])
    for run in archive.from_store(store, [identity.key(cell) for cell in grid.expand([said.block])]):
        if run.record["status"] != "done":
            continue
        cell, facts = run.record["cell"], run.record["task_facts"]
        for test in facts["tests"]:
            chance = (facts.get("chances") or {}).get(test, facts["chance"])
            asked = Asked(cell["task"]["name"], test, round(chance, 4), cell["recipe"]["name"])
            score = run.record["scores"]["best"]["sets"][test][facts["metric"]]
            found[asked, cell["model"]["weights"]].append(score)
    return found


def gated() -> list[str]:
    return [name for name in tasks.catalogue() if name.startswith("micro/")]


def table(model: str, found: Scores) -> dict[str, Any]:
    """gate.json of one backbone; tasks with both kinds of weights only."""
    rows, both = {}, sorted({asked for asked, _ in found if all((asked, kind) in found for kind in WEIGHTS)})
    for asked in both:
        pretrained, random = (found[asked, kind] for kind in WEIGHTS)
        rows[asked.name] = {
            "chance": asked.chance,
            "pretrained": sum(pretrained) / len(pretrained),
            "random": sum(random) / len(random),
            "seeds": min(len(pretrained), len(random)),
        }
    seeds = int(min((row["seeds"] for row in rows.values()), default=0))
    names = list(dict.fromkeys(asked.task for asked in both))
    asked_for = "'task=micro/*'" if names == sorted(gated()) else f"task={','.join(names)}"
    recipes = " and ".join(sorted({f"recipe={asked.recipe}" for asked in both}))
    # A sweep runs seed by seed, so where fewer are done the first ones are.
    command = COMMAND.format(model=model, tasks=asked_for, seeds=_listed(SEEDS[:seeds]))
    return {"command": command, "recipe": recipes, "seeds": seeds, "tasks": rows}


def _listed(seeds: tuple[int, ...]) -> str:
    return ",".join(map(str, seeds))


def main(folder: str) -> int:
    """Write gate.json and the card of every backbone that has records. 1 where a task fails its gate."""
    from tasks.microworld.pretraining import shipping  # here, because it imports torch

    failed = []
    for card in sorted(path.parent for path in shipping.WEIGHTS.glob("*/pretraining.json")):
        model = card.name
        gate = table(model, scores(Store(folder), model))
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
