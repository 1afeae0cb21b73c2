"""One cell with transformers' Trainer and PEFT as a script of its own: python -m ....trainer_script FOLDER SPAWNED

FOLDER holds what one would have at hand: the weights' folder and the plan (cell.json), tokenised rows and the first
values of the trainable parameters (tensors.pt). SPAWNED is the time at which the script was started, in seconds since
the epoch. It trains, evaluates as often as ours on the same rows (the loss, and the accuracy of generated answers), and
prints its seconds and losses as one line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, PrinterCallback, Seq2SeqTrainer, TrainerCallback

from tests.benchmarks.speed import theirs
from tests.benchmarks.speed.theirs import IGNORED, Plan, Recipe, Rows


class Seq2SeqNoting(Seq2SeqTrainer):
    """Keeps each step's loss and counts the seconds of evaluation."""

    losses: list[torch.Tensor]
    evaluation_s = 0.0

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **words: Any) -> Any:
        found = super().compute_loss(model, inputs, *arguments, **words)
        if model.training:
            self.losses.append(found.detach())
        return found

    def _evaluate(self, *arguments: Any, **words: Any) -> Any:
        started = time.perf_counter()
        found = super()._evaluate(*arguments, **words)
        self.evaluation_s += time.perf_counter() - started
        return found


class Beginning(TrainerCallback):
    """Notes when the first evaluation begins, which comes before the first step."""

    at = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.at = time.time()


def accuracy(predicted: Any) -> dict[str, float]:
    """Return the share of rows whose generated tokens begin with the answer's. predictions, label_ids: [N, U]."""
    made, wanted = torch.as_tensor(predicted.predictions), torch.as_tensor(predicted.label_ids)
    width = min(made.shape[1] - 1, wanted.shape[1])
    same = (made[:, 1 : 1 + width] == wanted[:, :width]) | (wanted[:, :width] == IGNORED)
    return {"accuracy": float(same.all(dim=1).float().mean())}


def main(folder: Path, spawned: float) -> None:
    """Train and evaluate one cell."""
    torch.set_num_threads(1)
    given = json.loads((folder / "cell.json").read_text())
    tensors = torch.load(folder / "tensors.pt")
    recipe = Recipe(**given["recipe"])
    model = AutoModelForSeq2SeqLM.from_pretrained(given["weights"], dtype=torch.float32, dropout_rate=0.0)
    model = Plan(**given["plan"]).build(model)
    model.load_state_dict(tensors["start"], strict=False)
    splits = {name: Rows("seq2seq", *parts) for name, parts in tensors["splits"].items()}
    first = {}
    for name in splits:  # one table, so that one collator serves all splits
        first[name] = sum(len(splits[other].inputs) for other in first)
    rows = Rows("seq2seq", *(_stacked([getattr(one, part) for one in splits.values()], fill) for part, fill in PARTS))
    settings = theirs.arguments(
        folder / "output", recipe, eval_strategy="steps", eval_steps=given["every"], eval_on_start=True,
        predict_with_generate=True, generation_max_length=rows.labels.shape[1] + 1,
        per_device_eval_batch_size=given["evaluation_rows"],
    )  # fmt: skip
    begin = Beginning()
    sets = {name: range(first[name], first[name] + len(one.inputs)) for name, one in splits.items() if name != "train"}
    trainer = Seq2SeqNoting(
        model, settings, data_collator=rows.collate, train_dataset=given["order"], eval_dataset=sets,
        compute_metrics=accuracy, callbacks=[begin],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.losses = []
    trainer.train()
    ended = time.time()
    last = {name: value for row in trainer.state.log_history for name, value in row.items() if "accuracy" in name}
    seconds = {"total": ended - spawned, "before": begin.at - spawned, "evaluation": trainer.evaluation_s}
    print(json.dumps({"seconds": seconds, "losses": [float(loss) for loss in trainer.losses], "accuracy": last}))


PARTS = (("inputs", 0), ("lengths", 0), ("labels", IGNORED))


def _stacked(parts: list[torch.Tensor], fill: int) -> torch.Tensor:
    """Return tables [N, T] (or columns [N]) as one, padded to the widest."""
    width = max(part.shape[-1] for part in parts)
    if parts[0].ndim == 1:
        return torch.cat(parts)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1]), value=fill) for part in parts])


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
