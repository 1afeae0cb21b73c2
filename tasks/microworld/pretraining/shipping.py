"""Writing a pretrained backbone where it ships: half-precision safetensors, configuration and a model card."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from harness.files import atomic_files
from tasks.microworld import corpus, lexicon, vocabulary
from tasks.microworld.pretraining.backbones import Backbone

WEIGHTS = Path(__file__).parents[1] / "weights"
GATE = "gate.json"  # full fine-tuning from these weights and from random ones, per task


@dataclass(frozen=True)
class Outcome:
    """The result of pretraining: (step, loss) pairs, seconds of training."""

    curve: list[tuple[int, float]]
    seconds: float


def ship(
    name: str, backbone: Backbone, model: PreTrainedModel, outcome: Outcome, held_out: Mapping[str, float], folder: Path
) -> None:
    """Write config.json, model.safetensors (fp16, tied tensors once), loss.csv and the card.

    held_out: see loss_by_kind.py.
    """
    write_weights(model, outcome.curve, folder)
    parameters = sum(p.numel() for p in model.parameters())
    (folder / "pretraining.json").write_text(
        json.dumps(
            {
                "model": name, "world": lexicon.VERSION, "parameters": parameters, "family": backbone.family,
                "corpus_sha256": corpus.digest(), "documents": corpus.SIZE, "steps": backbone.steps,
                "primer": dict(backbone.primer), "lessons": dict(backbone.lessons), "grown_from": backbone.grown_from,
                "batch": backbone.batch, "optimizer": backbone.optimizer,
                "learning_rate": backbone.learning_rate, "seed": backbone.seed,
                "final_loss": round(outcome.curve[-1][1], 4), "minutes": round(outcome.seconds / 60, 1),
                "held_out_loss": dict(held_out),
                "tokenizer_sha256": hashlib.sha256((vocabulary.PATH / "tokenizer.json").read_bytes()).hexdigest(),
                "torch": torch.__version__, "transformers": transformers.__version__,
            },
            indent=1,
        ) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    write_card(folder)


def write_weights(model: PreTrainedModel, curve: Sequence[tuple[int, float]], folder: Path) -> None:
    """Write config.json, model.safetensors (fp16, tied tensors once) and loss.csv. curve: (step, loss) pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tensors = {key: p.detach().to(torch.float16).contiguous() for key, p in model.named_parameters()}
    atomic_files.write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    rows = "".join(f"{step},{loss:.4f}\n" for step, loss in curve)
    (folder / "loss.csv").write_text("step,loss\n" + rows, encoding="utf-8")


def write_card(folder: Path) -> None:
    """Write README.md from pretraining.json and, where it is there, gate.json."""
    facts = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    name = facts["model"]
    lines = [
        "---", "license: apache-2.0", "library_name: transformers", "---", "",
        f"# {name}", "",
        f"{facts['parameters']:,} parameters ({facts['family']}), pretrained {_start(facts)} on the microworld's corpus, "
        f"world version {facts['world']}: a small generated English. It knows nothing of the real world; scores made "
        "with it test the papers' claims at small scale and are not the papers' numbers.", "",
        f"- corpus: {facts['documents']:,} documents, sha256 `{facts['corpus_sha256'][:16]}`",
        f"- training: {facts['steps']:,} steps of {facts['batch']} documents, {facts.get('optimizer', 'adamw')}, peak learning rate "
        f"{facts['learning_rate']:g}, seed {facts['seed']}; final loss {facts['final_loss']:.3f} (`loss.csv`)",
        *_around(facts),
        f"- time: {facts['minutes']} minutes on one CPU core (torch {facts['torch']}, transformers {facts['transformers']})",
        *_held_out(facts.get("held_out_loss", {})),
        f"- rebuilt by: `deltabench pretrain model={name}`", "- stored in half precision",
    ]  # fmt: skip
    gate = folder / GATE
    if gate.exists():
        lines += ["", *_gate_lines(json.loads(gate.read_text(encoding="utf-8")))]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _held_out(losses: Mapping[str, float]) -> list[str]:
    kinds = ", ".join(f"{kind} {loss:.3f}" for kind, loss in losses.items() if kind != "all")
    return [f"- loss on held-out text, in nats a token: {losses['all']:.3f} ({kinds})"] if losses else []


def _start(facts: dict[str, Any]) -> str:
    grown = facts.get("grown_from")
    return f"from the blocks of {grown}, each followed by copies of it (`growth.py`)," if grown else "from scratch"


def _around(facts: dict[str, Any]) -> list[str]:
    """Return the lines about what the backbone read before and after the corpus."""
    stages = ", ".join(f"{steps:,} on {stage}" for stage, steps in facts.get("primer", {}).items())
    before = [f"- of these steps, first {stages} (`tasks/microworld/corpus/primer.py`)"] if stages else []
    after = ", ".join(f"{steps:,} on {stage}" for stage, steps in facts.get("lessons", {}).items())
    return before + (
        [f"- then {after}: questions answered by a label (`corpus/lessons.py`); the final loss is theirs"]
        if after
        else []
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean of {count} seeds"


def _gate_lines(gate: dict) -> list[str]:
    head = [
        "## Does pretraining matter?", "",
        f"Test score of full fine-tuning ({gate['recipe']}), {_seeds(gate['seeds'])}; made by "
        f"`{gate['command']}`.", "",
        "| task | chance | from these weights | from random weights |", "|---|---|---|---|",
    ]  # fmt: skip
    return head + [
        f"| {task} | {row['chance']:.2f} | {row['pretrained']:.3f} | {row['random']:.3f} |"
        for task, row in gate["tasks"].items()
    ]
