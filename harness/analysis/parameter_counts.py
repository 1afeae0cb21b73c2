"""Published percentages of trained parameters, recomputed from configurations alone.

Run it with `python -m harness.analysis.parameter_counts`.

Each row of a paper's table becomes a method on a backbone without weights (meta device). The denominator is
what PEFT's `print_trainable_parameters` and the combination study's code divide by, the backbone with all that
was added and trains; where only the backbone alone gives the printed digits, the line says so. Digits agree
when the share rounds to them or, as in places of DoRA's tables, when it is cut off there. Settings that a paper
does not print are marked as inferred.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness import assets, atomic_files
from harness.config import yaml_values
from harness.config.schema import MethodConfig, ModelConfig, build
from harness.models import backbone
from harness.models.head import Head
from methods import registry as methods
from methods.backbone.delta import trainable

LETTERS = {"Q": "q", "K": "k", "V": "v", "O": "o", "G": "ffn-gate", "U": "ffn-in", "D": "ffn-out"}
CAUSAL, MASKED = "causal_lm", "masked_lm"
BACKBONES = {
    "LLaMA-7B": ("llama-7b", CAUSAL),
    "LLaMA-13B": ("llama-13b", CAUSAL),
    "LLaMA3-8B": ("llama3-8b", CAUSAL),
    "RoBERTa-large": ("roberta-large", MASKED),
}
"""As tables call it -> conf/model/<name>.yaml, and what stands on it. LLaMA2-7B counts as LLaMA-7B does."""


@dataclass(frozen=True)
class Row:
    """One printed percentage. printed: its digits, as text. inferred: what the paper leaves open, or ""."""

    table: str
    model: str
    label: str
    printed: str
    method: str
    fields: Mapping[str, Any]
    inferred: str = ""


@dataclass(frozen=True)
class Recomputed:
    """Numbers of parameters: what trains, what of it was added, the backbone."""

    trained: int
    added: int
    backbone: int

    @property
    def percent(self) -> float:
        """Return the trainable parameters in percent of the backbone with the added parameters."""
        return 100 * self.trained / (self.backbone + self.added)

    def how(self, printed: str) -> str:
        """Return how the share gives the printed digits; "differs" where it does not."""
        whole = agreement(self.percent, printed)
        alone = agreement(100 * self.trained / self.backbone, printed)
        return whole or (f"{alone} (of the backbone alone)" if alone else "differs")


def agreement(percent: float, printed: str) -> str:
    """Return "rounded" or "truncated", whichever turns `percent` into `printed`; "" where neither does."""
    digits = len(printed.partition(".")[2])
    if f"{percent:.{digits}f}" == f"{float(printed):.{digits}f}":
        return "rounded"
    cut = math.floor(percent * 10**digits) / 10**digits
    return "truncated" if math.isclose(cut, float(printed)) else ""


def recompute(row: Row) -> Recomputed:
    """Attach the row's method to its backbone on the meta device, and count."""
    return _count(row.model.replace("LLaMA2", "LLaMA"), row.method, json.dumps(dict(row.fields)))


@cache
def _count(backbone: str, name: str, fields: str) -> Recomputed:
    model = _backbone(backbone)
    own = {id(p): p.numel() for p in model.parameters()}
    methods.make(MethodConfig(name, json.loads(fields))).attach(model)
    trained = {id(p): p.numel() for _, p in trainable(model)}
    added = sum(size for key, size in trained.items() if key not in own)
    return Recomputed(sum(trained.values()), added, sum(own.values()))


def rows() -> Iterator[Row]:
    """Yield every printed percentage of DoRA's tables 1, 5, 6 and 15 and of the combination table, each once."""
    seen = set[tuple[str, ...]]()
    for table in ("dora_table1", "dora_table5", "dora_table6", "dora_table15"):
        for line in _read(table):
            label = " ".join(filter(None, (line["method"], line.get("rank"), line.get("V_modules"))))
            if line["params_pct"] and (table, line["model"], label) not in seen:
                seen.add((table, line["model"], label))
                method, fields, inferred = _dora_setting(table, line)
                yield Row(table, line["model"], label, line["params_pct"], method, fields, inferred)
    table = "nature_table2_combination_roberta_large"
    for line in _read(table):
        if line["combination"] != "none" and (table, line["combination"]) not in seen:
            seen.add((table, line["combination"]))
            parts = {"prompt": "prompt length=10", "adapter": "adapter bottleneck=64", "bitfit": "bitfit"}
            chosen = [parts[part] for part in line["combination"].split("+")]
            printed = line["tunable_params_pct"]
            yield Row(table, "RoBERTa-large", line["combination"], printed, "combine", {"parts": chosen})


def _dora_setting(table: str, line: Mapping[str, str]) -> tuple[str, dict[str, Any], str]:
    """Return (method, fields, what is inferred) of a row of DoRA's tables."""
    kind, rank = line["method"], int(line.get("rank") or 32)
    directions = {"dora_table5": "QKVOGUD"}.get(table, "QKVUD")  # section 5.1; appendix A.3 for table 5
    if line.get("V_modules", "-") != "-":
        directions = line["V_modules"]
    targets = [LETTERS[letter] for letter in directions]
    match kind:
        case "Prefix":
            length = {"LLaMA-7B": 30, "LLaMA-13B": 10}[line["model"]]
            return "prefix", {"length": length}, f"prefix length {length}: the one that fits"
        case "Series":
            return "pfeiffer", {"bottleneck": 256}, "bottleneck 256 after feed-forward: LLM-Adapters' scripts"
        case "Parallel":  # R (d_in + d_out) beside up and down, without biases: what a LoRA of that rank counts
            fields = {"rank": 256, "targets": ["ffn-in", "ffn-out"]}
            return "lora", fields, "bottleneck 256 beside up and down without biases: LLM-Adapters' scripts"
        case "LoRA":
            return "lora", {"rank": rank, "targets": targets}, ""
        case "VeRA" | "DVoRA":
            return kind.lower(), {"rank": rank, "targets": targets}, ""
    alone = [LETTERS[letter] for letter in line.get("m_modules", "") if letter not in directions]
    magnitudes = {"magnitude_targets": alone} if alone else {}
    return "dora", {"rank": rank, "targets": targets, **magnitudes}, ""


def _read(table: str) -> list[dict[str, str]]:
    text = atomic_files.read_text(assets.published() / f"{table}.csv")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _backbone(name: str) -> Any:
    """Return a frozen backbone without weights."""
    option, kind = BACKBONES[name]
    path = assets.conf() / "model" / f"{option}.yaml"
    values = yaml_values.load(atomic_files.read_text(path))
    return backbone.outline(build(ModelConfig, values, "model"), Head(kind))


def report() -> str:
    """Return the table, one line for each printed percentage."""
    head = f"{'table':40}{'model':15}{'row':24}{'printed':>8} {'recomputed':>11} {'trained':>12}  how"
    lines = [
        f"{row.table:40}{row.model:15}{row.label:24}{row.printed:>8} {done.percent:>11.4f}"
        f"{done.trained:>12,}  {done.how(row.printed)}{row.inferred and f'; inferred: {row.inferred}'}"
        for row in rows()
        for done in [recompute(row)]
    ]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    print(report())
