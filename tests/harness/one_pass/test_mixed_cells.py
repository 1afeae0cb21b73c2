"""The lines of CONTRIBUTING serve finished cells of two tasks in one pass, as each cell alone does."""

import re
from pathlib import Path

import pytest
import torch

from harness import assets
from harness.cli import dispatch
from harness.errors import UsageError
from harness.one_pass import mixed
from harness.store.store import Store
from harness.training import finished_model

TASKS = {"sentiment": "micro/sentiment-goods", "roles": "micro/inference-roles"}


def lines() -> str:
    """The block of Python that names this module."""
    text = (assets.root() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = [
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "mixed" in block
    ]
    assert len(blocks) == 1
    return blocks[0]


def test_the_lines_of_contributing_run(tmp_path: Path) -> None:
    store = tmp_path / "store"
    given = [f"task={','.join(TASKS.values())}", "model=micro-llama-nano", "method=lora", "seed=0", "recipe.steps=2"]
    given += ["task.train_size=64", "task.validation_size=30", "task.test_size=30", "recipe.learning_rate=1e-2"]
    assert dispatch.main(["sweep", *given, f"store={store}", "device=cpu", "launcher=basic"]) == 0
    kept = Store(str(store))
    keys = {kept.cell(key).task.name: key for key in kept.keys()}  # noqa: SIM118
    own = {name: keys[task] for name, task in TASKS.items()}
    text = (
        lines()
        .replace("results/store", str(store))
        .replace("KEY", own["sentiment"][:12])
        .replace("OTHER", own["roles"])
    )
    ids = torch.randint(3, 200, (3, 7), generator=torch.Generator().manual_seed(0))
    names = {"ids": ids, "mask": torch.ones_like(ids)}
    exec(compile(text, "CONTRIBUTING.md", "exec"), names)
    for row, name in enumerate(("roles", "sentiment", "roles")):
        alone = finished_model.finished(kept, own[name]).model
        with torch.no_grad():
            expected = alone(input_ids=ids[row : row + 1]).logits[0]
        torch.testing.assert_close(names["logits"][row], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UsageError, match="abcdef"):
        mixed.of_cells(kept, {"sentiment": "abcdef"})
