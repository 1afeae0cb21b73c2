"""Writing a backbone of world 2 where it ships: half-precision safetensors, configuration, losses and a model card."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from tasks.microworld.pretraining.shipping import write_weights
from tasks.microworld2 import VERSION, corpus, word_ids
from tasks.microworld2.pretraining.backbone_sizes import Size
from tasks.microworld2.pretraining.pretraining_run import Outcome

WEIGHTS = Path(__file__).parents[1] / "weights"
GATE = "gate.json"


def ship(name: str, size: Size, model: PreTrainedModel, outcome: Outcome, folder: Path) -> None:
    """Write config.json, model.safetensors (fp16, tied tensors once), loss.csv, pretraining.json and the card."""
    write_weights(model, outcome.curve, folder)
    facts = json.dumps(_facts(name, size, model, outcome), indent=1)
    (folder / "pretraining.json").write_text(facts + "\n", encoding="utf-8")
    write_card(folder)


def _facts(name: str, size: Size, model: PreTrainedModel, outcome: Outcome) -> dict[str, Any]:
    return {
        "model": name, "world": VERSION, "parameters": sum(p.numel() for p in model.parameters()), "family": size.family,
        "corpus_sha256": corpus.digest(), "documents": corpus.SIZE, "stages": dict(size.stages), "steps": size.steps,
        "batch": size.batch, "learning_rate": size.learning_rate, "beta2": size.beta2, "seed": size.seed,
        "starts_from": size.starts_from, "final_loss": round(outcome.curve[-1][1], 4),
        "held_out_loss": {kind: round(loss, 4) for kind, loss in outcome.held_out.items()},
        "minutes": round(outcome.seconds / 60, 1),
        "tokenizer_sha256": hashlib.sha256((word_ids.PATH / "tokenizer.json").read_bytes()).hexdigest(),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip


def write_card(folder: Path) -> None:
    """Write README.md from pretraining.json and, where it is there, gate.json."""
    facts = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    name = facts["model"]
    stages = ", ".join(f"{steps:,} on {stage}" for stage, steps in facts["stages"].items())
    held_out = ", ".join(f"{kind} {loss:.3f}" for kind, loss in facts["held_out_loss"].items())
    start = f"from the weights of {facts['starts_from']} (world 1)" if facts["starts_from"] else "from scratch"
    lines = [
        "---", "license: apache-2.0", "library_name: transformers", "---", "", f"# {name}", "",
        f"{facts['parameters']:,} parameters ({facts['family']}), pretrained {start} on the microworld's corpus, "
        f"world version {facts['world']}: a small generated English. It knows nothing of the real world; scores made "
        "with it test the papers' claims at small scale and are not the papers' numbers.", "",
        f"- corpus: {facts['documents']:,} documents a stage, sha256 `{facts['corpus_sha256'][:16]}`",
        f"- training: {facts['steps']:,} steps of {facts['batch']} documents ({stages}), AdamW, peak learning rate "
        f"{facts['learning_rate']:g}, seed {facts['seed']}; final loss {facts['final_loss']:.3f} (`loss.csv`)",
        f"- loss on held-out text, by kind of document: {held_out}",
        f"- time: {facts['minutes']} minutes on one busy CPU core (torch {facts['torch']}, transformers {facts['transformers']})",
        f"- rebuilt by: `deltabench pretrain model={name}`", "- stored in half precision",
    ]  # fmt: skip
    gate = folder / GATE
    if gate.exists():
        lines += ["", *_gate_lines(json.loads(gate.read_text(encoding="utf-8")))]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _gate_lines(gate: dict[str, Any]) -> list[str]:
    head = [
        "## Full fine-tuning on each task", "",
        f"Test score at the learning rate with the best validation score, of {gate['rates']}; one tuning seed; made by "
        f"`{gate['command']}`.", "",
        "| task | chance | full fine-tuning | rate |", "|---|---|---|---|",
    ]  # fmt: skip
    return head + [
        f"| {task} | {row['chance']:.2f} | {row['score']:.3f} | {row['rate']:g} |"
        for task, row in gate["tasks"].items()
    ]
