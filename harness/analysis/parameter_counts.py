"""Published percentages of trained parameters, recomputed from configurations alone.

Run it with `python -m harness.analysis.parameter_counts`.

Each row of a paper's table becomes a method on a backbone without weights (meta device). The denominator is
what PEFT's `print_trainable_parameters` and the combination study's code divide by: the backbone with all that
was added and trains. Where only the backbone alone gives the printed digits, the line says so. Digits agree
when the share rounds to them or, as in places of DoRA's tables, when it is cut off there. The settings are data
(results/published/parameter_settings.csv), where those that a paper does not print are marked as inferred.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness import assets
from harness.config import yaml_values
from harness.config.building import build
from harness.config.schema import MethodConfig, ModelConfig
from harness.experiments import published_rows
from harness.files import plain_files
from harness.models import backbone
from harness.models.head import Head
from methods import registry as methods
from methods.backbone.trainable_parameters import trainable

SETTINGS = "parameter_settings"
"""The file in results/published/ with the settings behind every printed percentage."""


@dataclass(frozen=True)
class Row:
    """One printed percentage, and the setting behind it.

    printed: its digits, as text. backbone: conf/model/<name>.yaml. head: what stands on it. inferred: what the paper
    leaves open, or "".
    """

    table: str
    model: str
    label: str
    printed: str
    backbone: str
    head: str
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
    return _count(row.backbone, row.head, row.method, json.dumps(dict(row.fields)))


@cache
def _count(backbone: str, head: str, name: str, fields: str) -> Recomputed:
    model = _backbone(backbone, head)
    own = {id(p): p.numel() for p in model.parameters()}
    methods.make(MethodConfig(name, json.loads(fields))).attach(model)
    trained = {id(p): p.numel() for _, p in trainable(model)}
    added = sum(size for key, size in trained.items() if key not in own)
    return Recomputed(sum(trained.values()), added, sum(own.values()))


def rows() -> Iterator[Row]:
    """Yield every printed percentage that has a line in SETTINGS."""
    for line in published_rows.read(assets.published() / f"{SETTINGS}.csv"):
        where = dict(part.split("=", 1) for part in line["where"].split())
        yield Row(
            table=line["table"],
            model=line["model"],
            label=" ".join(where.values()),
            printed=_printed(line["table"], line["percent"], line["model"], where),
            backbone=line["backbone"],
            head=line["head"],
            method=line["method"],
            fields=yaml_values.load(line["fields"]),
            inferred=line["inferred"],
        )


def _printed(table: str, column: str, model: str, where: Mapping[str, str]) -> str:
    """Return the percentage in the first row of a published table that has the model and the values of `where`."""
    for row in published_rows.read(assets.published() / f"{table}.csv"):
        if row.get("model", model) == model and where.items() <= row.items() and row[column]:
            return row[column]
    raise ValueError(f"{table}: it has no row of {model} with {where}")


def _backbone(name: str, head: str) -> Any:
    """Return a frozen backbone without weights."""
    path = assets.conf() / "model" / f"{name}.yaml"
    values = yaml_values.load(plain_files.read_text(path))
    return backbone.outline(build(ModelConfig, values, "model"), Head(head))


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
