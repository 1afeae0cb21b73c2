"""Fill the card of a backbone of world 2: full fine-tuning on each task, at the rate with the best validation score.

    deltabench sweep WORDS
    python -m harness.cli.rate_gate STORE WORDS

WORDS choose the cells: one model of world 2, its tasks, several learning rates, and a seed that no table reports. A
task passes where full fine-tuning reaches chance + 20 points.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from harness.cli import command_line
from harness.experiments.grids import grid
from harness.store import archive, identity
from harness.store.store import Store

MARGIN = 0.2


def table(store: Store, words: Sequence[str]) -> dict[str, Any]:
    """Return the content of gate.json: each task's chance, and test score and rate of the best validation score."""
    cells = grid.expand([command_line.parse(list(words)).block])
    rows: dict[str, dict[str, float]] = {}
    for run in archive.from_store(store, [identity.key(cell) for cell in cells]):
        if run.record["status"] != "done":
            continue
        cell, facts = run.record["cell"], run.record["task_facts"]
        sets = run.record["scores"]["best"]["sets"]
        row = {
            "chance": round(facts["chance"], 4),
            "validation": sets["validation"][facts["metric"]],
            "score": sets["test"][facts["metric"]],
            "rate": cell["recipe"]["learning_rate"],
        }
        name = cell["task"]["name"]
        if name not in rows or row["validation"] > rows[name]["validation"]:
            rows[name] = row
    rates = sorted({cell.recipe.learning_rate for cell in cells})
    return {
        "command": f"deltabench sweep {shlex.join(words)}",
        "rates": ", ".join(f"{rate:g}" for rate in rates),
        "tasks": dict(sorted(rows.items())),
        "unfinished": sorted({cell.task.name for cell in cells} - set(rows)),
    }


def main(folder: str, words: Sequence[str]) -> int:
    """Write gate.json and the card. Return 1 where a task fails its gate or has no finished cell."""
    from tasks.microworld2.pretraining import weight_cards  # here, because it imports torch

    model = next(word.partition("=")[2] for word in words if word.startswith("model="))
    store = Store(folder)
    store.check_present()
    gate = table(store, words)
    (weight_cards.WEIGHTS / model / weight_cards.GATE).write_text(json.dumps(gate, indent=1) + "\n", encoding="utf-8")
    weight_cards.write_card(weight_cards.WEIGHTS / model)
    low = [name for name, row in gate["tasks"].items() if row["score"] < row["chance"] + MARGIN]
    mean = sum(row["score"] for row in gate["tasks"].values()) / max(1, len(gate["tasks"]))
    print(f"{model}: mean {mean:.3f} over {len(gate['tasks'])} tasks")
    print(f"without a finished cell: {', '.join(gate['unfinished']) or 'none'}")
    print(f"below chance + {MARGIN:g}: {', '.join(low) or 'none'}")
    return 1 if low or gate["unfinished"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
