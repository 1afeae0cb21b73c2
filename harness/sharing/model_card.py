"""The card of a delta that is shared: `card.json` for programs, `README.md` with the Hub's header for people.

Nothing in it names this machine: it holds the cell's identity and provenance fields, and the record's results.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness import atomic_files, private_paths
from harness.config.schema import Cell
from harness.errors import UsageError, shown
from harness.experiments import rerun_command
from harness.store import identity, record
from harness.store.provenance import own_version

CARD, README = "card.json", "README.md"
FORMAT = 1


def make(cell: Cell, record: Mapping[str, Any], checkpoint: str, form: str, licence: str | None) -> dict[str, Any]:
    """Return the card. form: `peft` or `deltabench`. licence: of the delta; None takes that of the backbone."""
    checkpoint_scores = record["scores"].get(checkpoint) or {}
    return {
        "format": FORMAT,
        "form": form,
        "key": record["key"],
        "checkpoint": checkpoint,
        "cell": identity.to_json(cell, ("identity", "provenance")),
        "command": private_paths.command(rerun_command.command(cell)),
        "base_model": base(cell),
        "license": licence or cell.model.license or "unknown",
        "step": checkpoint_scores.get("step"),
        "scores": checkpoint_scores.get("sets") or {},
        "parameters": record.get("parameters") or {},
        "metric": (record.get("task_facts") or {}).get("metric"),
        "deltabench": own_version(),
    }


def base(cell: Cell) -> dict[str, str]:
    """Return the backbone's name, its id on the Hub ("" without one), and its revision."""
    id_on_hub, _, _ = cell.model.hub.partition("@")
    hub = cell.model.location if cell.model.source == "hub" else id_on_hub
    return {"name": cell.model.name, "hub": hub, "revision": cell.model.revision}


def write(card: Mapping[str, Any], folder: Path) -> None:
    """Write both files."""
    atomic_files.write_json(folder / CARD, card)
    (folder / README).write_text(_header(card) + _text(card), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Return the content of `card.json`. Raises UsageError for a folder without one, and for one of another version."""
    path = folder / CARD
    try:
        card = atomic_files.read_json(path, atomic_files.is_hub_link(path))
        version, form = card["format"], card["form"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}: this is no pushed delta: its {CARD} cannot be read ({error!r}).") from error
    if type(version) is not int or version != FORMAT or form not in ("peft", "deltabench"):
        raise UsageError(
            f"{path}: format {shown(version)} of form {shown(form)} is unknown to this version; update deltabench."
        )
    for part, fits in _PARTS.items():
        if not fits(card.get(part)):
            raise UsageError(f"{path}: its {part!r} does not have a card's form; ask its author for a valid card.")
    return card


_PARTS = {
    "cell": record.has(method=record.named, task=record.named, model=record.named),
    "base_model": record.has(name=record.name, hub=record.label, revision=record.label),
    "license": record.label,
    "scores": record.each(record.each(record.number)),
}
"""The checks of a card that comes from elsewhere."""


def _header(card: Mapping[str, Any]) -> str:
    """Return the YAML that the Hub reads: the base model, the licence, the scores."""
    cell, metric = card["cell"], card["metric"]
    header: dict[str, Any] = {
        "library_name": card["form"],
        "license": card["license"],
        "tags": ["deltabench", cell["method"]["name"]],
    }
    if card["base_model"]["hub"]:
        header |= {"base_model": card["base_model"]["hub"], "base_model_relation": "adapter"}
    tested = {name: figures for name, figures in card["scores"].items() if metric and metric in figures}
    if tested:
        results = [
            {
                "task": {"type": "text-classification" if metric == "accuracy" else "text-generation"},
                "dataset": {"name": f"{cell['task']['name']} ({name})", "type": cell["task"]["name"]},
                "metrics": [{"type": metric, "value": figures[metric]}],
            }
            for name, figures in tested.items()
        ]
        header["model-index"] = [{"name": f"{cell['method']['name']}-{cell['task']['name']}", "results": results}]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n"


def _text(card: Mapping[str, Any]) -> str:
    """Return the text for people."""
    cell, base_model = card["cell"], card["base_model"]
    fields = {name: value for name, value in cell["method"].items() if name != "name" and value is not None}
    parent = f"[{base_model['hub']}](https://huggingface.co/{base_model['hub']})" if base_model["hub"] else "embedded"
    rows = [
        ("method", f"{cell['method']['name']}: {', '.join(f'{name}={value}' for name, value in fields.items())}"),
        ("parent", f"{base_model['name']} ({parent}), revision `{base_model['revision']}`"),
        ("task", f"{cell['task']['name']}, {cell['objective']}, seed {cell['seed']}"),
        ("trained parameters", f"{(card['parameters'] or {}).get('delta')}"),
        ("checkpoint", f"{card['checkpoint']}, step {card['step']}"),
        ("licence", card["license"]),
        ("key", f"`{card['key']}`"),
        *((f"built on ({role})", f"`{key}`") for role, key in cell.get("parents", [])),
    ]
    scores = [
        f"| {name} | " + ", ".join(f"{figure} {_number(value)}" for figure, value in figures.items()) + " |"
        for name, figures in card["scores"].items()
    ]
    own = "delta score" if card["form"] == "deltabench" else f"delta import FOLDER --to NEW model={base_model['name']}"
    return "\n".join([
        f"# {cell['method']['name']} on {base_model['name']}, {cell['task']['name']}", "",
        "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), "",
        "| set | score |", "|---|---|", *scores, "",
        "Made by", "", f"    {card['command']}", "",
        "and used again with `deltabench pull` and", "",
        f"    deltabench {own}" + (" FOLDER" if card["form"] == "deltabench" else ""), "",
    ])  # fmt: skip


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
