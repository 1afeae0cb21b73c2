"""What the harness adds to a cell, beside a bare training loop on the same batches, in one run.

python tests/benchmarks/overhead.py [cells] [steps]        aim: at most 0.6 s per cell on the nano backbone

A cell's wall time is taken around the whole attempt as a sweep makes it: lease, process, loading, record, fsync. The
bare loop is forward, backward, clip and AdamW in plain torch in a process like the cell's. Evaluation is left out.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).parents[2])
HERE = str(Path(__file__).parent)
sys.path[:0] = [ROOT, HERE]

from harness.config.schema import Cell, Runtime  # noqa: E402
from harness.execution import worker  # noqa: E402
from harness.experiments import grid  # noqa: E402
from harness.processes import forkserver  # noqa: E402
from harness.store import identity  # noqa: E402
from harness.store.store import Store  # noqa: E402


def bare(content: Mapping[str, Any], threads: int) -> dict[str, float]:
    """Run in a child: seconds of the training loop alone, full fine-tuning, without the harness around it."""
    import torch

    from harness.models import backbone, tokenizer
    from harness.training.batches import Order
    from harness.training.objectives import registry as objectives
    from harness.training.score import prepare
    from tasks import registry as tasks

    torch.set_num_threads(threads)
    cell = identity.from_json(content)
    objective = objectives.make(cell.objective, tasks.load(cell.task), tokenizer.load(cell.model))
    encoded = prepare(objective, tasks.load(cell.task))["train"].encoded
    model = backbone.load(cell.model, objective.head, 0, cell.recipe.dropout).train()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    order = Order(encoded.lengths, cell.recipe.batch_size, 0)
    batches = [encoded.batch(order.rows(step)) for step in range(cell.recipe.steps)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    started = time.perf_counter()
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        objective.loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return {"seconds": time.perf_counter() - started}


def measure(cell: Cell, setup: worker.Setup, store: Store) -> dict[str, float]:
    """One attempt through the worker, and one bare loop."""
    store.register(cell)
    started = time.perf_counter()
    status = worker.attempt(store, cell, setup)
    wall = time.perf_counter() - started
    record = store.read(identity.key(cell))
    assert record is not None
    assert status == "done", record["error"]
    clock = record["time"]
    loop = forkserver.call("overhead:bare", (identity.to_json(cell), 1), setup.modules)["seconds"]
    return {
        "wall": wall,
        "train": clock["train_s"],
        "evaluate": clock["evaluate_s"],
        "prepare": clock["prepare_s"],
        "load": clock["load_s"],
        "bare loop": loop,
        "process and record": wall - sum(clock[f"{part}_s"] for part in ("train", "evaluate", "prepare", "load")),
        "overhead": wall - clock["evaluate_s"] - loop,
    }


def main(count: int, steps: int) -> None:
    words = {"method": "full", "seed": list(range(count)), "recipe.steps": steps, "recipe.evaluate_every": steps}
    many = grid.expand([words])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        setup = worker.Setup(Runtime(store=str(store.path)), forkserver.preload({many[0].model.family}))
        started = time.perf_counter()
        forkserver.call("time:time", (), setup.modules)
        print(f"server start, once per worker process: {time.perf_counter() - started:.2f} s")
        rows = [measure(cell, setup, store) for cell in many]
    print(f"{count} cells of {many[0].model.name}, {many[0].task.name}, {steps} steps; seconds, median (least, most):")
    for name in rows[0]:
        values = sorted(row[name] for row in rows)
        print(f"  {name:<20} {statistics.median(values):6.2f}  ({values[0]:.2f}, {values[-1]:.2f})")
    ratio = statistics.median(row["train"] / row["bare loop"] for row in rows)
    print(f"  {'train : bare loop':<20} {ratio:6.2f}")


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], "5", "100"][:2]))
