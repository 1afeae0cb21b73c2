"""The card of a delta that is shared: `card.json` for programs, `README.md` with the Hub's header for people.

Nothing in it names this machine: it holds the cell's identity and provenance fields, and the record's results.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness import private_paths
from harness.config.schema import Cell
from harness.errors import UsageError, shown
from harness.experiments import rerun_command
from harness.files import atomic_files, plain_files
from harness.sharing import scored_task
from harness.sharing.forms import wrong
from harness.sharing.scored_task import ScoredTask
from harness.store import columns, identity, record
from harness.store.provenance import own_version

CARD, README = "card.json", "README.md"
PLACEHOLDER = "FOLDER"
"""What stands for the folder of a delta in the text for people."""
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
        "rows": scored_task.described(cell.task),
        "base_model": base(cell),
        "license": licence or cell.model.license or "unknown",
        "step": checkpoint_scores.get("step"),
        "scores": checkpoint_scores.get("sets") or {},
        "parameters": record.get("parameters") or {},
        "solved": columns.solved(identity.to_json(cell)["method"], record.get("notes")),
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
        card = plain_files.read_json(path, plain_files.is_hub_link(path))
        version, form = card["format"], card["form"]
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: this is no pushed delta: there is no {CARD} in it.") from error
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}: this is no pushed delta: its {CARD} cannot be read ({wrong(error)}).") from error
    if type(version) is not int or version != FORMAT or form not in ("peft", "deltabench"):
        raise UsageError(
            f"{path}: format {shown(version)} of form {shown(form)} is unknown to this version; update deltabench."
        )
    for part, fits in _PARTS.items():
        if not fits(card.get(part)):
            raise UsageError(f"{path}: its {part!r} does not have a card's form; ask its author for a valid card.")
    try:
        task(card)
    except UsageError as error:
        raise UsageError(f"{path}: {error}; ask its author for a valid card.") from error
    return card


def task(card: Mapping[str, Any]) -> ScoredTask:
    """Return the task on which the card's scores were measured. Raises UsageError for one without a card's form."""
    return scored_task.read(card["cell"]["task"]["name"], card.get("rows"))


def choices(card: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of a grid by which the card's delta is read as it was trained, without those of its backbone.

    given: the choices of a command line, which win. A card of an earlier version stands for none.
    """
    if card.get("rows") is None:
        return {}
    cell = card["cell"]
    return {
        **scored_task.choices(task(card), given), "objective": cell["objective"], "seed": cell["seed"],
        "model.dtype": cell["model"]["dtype"], "recipe.precision": cell["recipe"]["precision"],
    }  # fmt: skip


def again(card: Mapping[str, Any], folder: str, backbone: Sequence[str] = ()) -> list[str]:
    """Return the commands that score the delta in `folder` as it was scored, the next one first.

    backbone: the words that name it where its own name is no choice.
    """
    scored = task(card)
    rows = [*backbone, *scored_task.words(scored)]
    if card["form"] == "deltabench":
        return [shlex.join(["deltabench", "delta", "score", folder, *rows])]
    ours = "NEW" if folder == PLACEHOLDER else f"{folder}-ours"
    named = [] if backbone else [f"model={card['base_model']['name']}"]
    named += [f"task={scored.name}"] if scored.fields is None else []
    return [
        shlex.join(["deltabench", "delta", "import", folder, "--to", ours, *named, *rows]),
        shlex.join(["deltabench", "delta", "score", ours, *rows]),
    ]


def _backbone(card: Mapping[str, Any]) -> list[str]:
    """Return the words of the card's command that say where the backbone is; none where its name is enough."""
    pairs = [word.partition("=") for word in shlex.split(card["command"])]
    words = [f"{key}={'MODEL_FOLDER' if value == 'FOLDER' else value}" for key, _, value in pairs if key in _PLACES]
    option = next((value for key, _, value in pairs if key == "model"), card["base_model"]["name"])
    return [f"model={option}", *words] if words or option != card["base_model"]["name"] else []


_PLACES = ("model.path", "model.source", "model.location", "model.revision", "model.tokenizer")


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
    own = {**cell["method"], **(card.get("solved") or {})}
    fields = {name: value for name, value in own.items() if name != "name" and value is not None}
    settings = ", ".join(f"{name}={value}" for name, value in fields.items())
    parent = f"[{base_model['hub']}](https://huggingface.co/{base_model['hub']})" if base_model["hub"] else "embedded"
    rows = [
        ("method", ": ".join(filter(None, (cell["method"]["name"], settings)))),
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
    return "\n".join([
        f"# {cell['method']['name']} on {base_model['name']}, {cell['task']['name']}", "",
        "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), "",
        "| set | score |", "|---|---|", *scores, "",
        "Made by", "", f"    {card['command']}", "",
        "and used again with `deltabench pull` and", "",
        *(f"    {command}" for command in again(card, PLACEHOLDER, _backbone(card))), "",
    ])  # fmt: skip


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
