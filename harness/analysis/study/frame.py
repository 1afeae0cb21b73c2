"""Records as DataFrames: scores, curves, and the cells that did not finish."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.config import conf_files, yaml_values
from harness.errors import plain
from harness.experiments.grids import labels
from harness.files import plain_files
from harness.probes import registry as probes
from harness.probes import train_sample
from harness.store import columns
from harness.store.archive import Run
from harness.store.record import run_joules

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

ROLES = ("validation", "test")
TRAIN = train_sample.NAME
"""The role of the sample of training rows that the probe of this name scores, for tables of the generalisation gap."""
BASE = ("key", "model", "task", "category", "arm", "method", "learning_rate", "recipe", "seed", "source")
FACTS = (
    "rows",
    "metric",
    "chance",
    "majority",
    "delta",
    "head",
    "backbone",
    "cells_beside",
    "energy_j",
    "probes",
    "leaked_rows",
)
SIZES = ("train_size", "live_bytes", "allocated_bytes", "step_flops", "unknown_share")
"""Rows that were asked for in training; its peak of memory: storages counted on the CPU, torch's allocator on a GPU;
the operations of a step; the largest share of a split's tokens that the backbone does not know, 0 where none is unknown
or nobody counted."""
ANSWERS = ("parse_failures", "commonest")
"""Of generated answers: the share without an answer in them, and the share that the most frequent answer has."""
LOSS = "validation_loss"
"""The loss on validation rows at the checkpoint of a score; None where the curve has none there."""
ROW_SCORES = "row_scores"
"""What each row of the set scored, packed (tasks/metrics/row_figures.py); None where it is not known."""
SCORES = (
    *BASE, "fields", "cell", "solved", "checkpoint", "step", "set", "role", "score", ROW_SCORES, LOSS, *ANSWERS,
    *FACTS, *SIZES,
)  # fmt: skip
LOSSES = ("train_loss", "validation_loss")
"""Of an evaluation: the mean loss of the training steps since the one before, and that of the validation rows."""
CURVES = (*BASE, "step", "seconds", "set", "role", "score", "cells_beside", *LOSSES)
FAILURES = (*BASE, "status", "reason")


def scores(
    runs: Sequence[Run], roles: Sequence[str] = ROLES, among: Sequence[Run] = (), named: Sequence[Row] | None = None
) -> "pd.DataFrame":
    """Return one row per finished cell x checkpoint x set, columns SCORES; sets of other roles are not even read.

    checkpoint: "best" (by validation) and "last"; "peak" is the evaluation with the highest score on the
    reported sets themselves, which is how the papers chose: it never enters a clean selection.
    among: other records that labels must be comparable with. named: `bases` of all these runs, where it is known.
    """
    import pandas as pd

    rows = [row for run, base in _done(runs, among, named) for row in _score_rows(run, base, roles)]
    return pd.DataFrame(rows, columns=list(SCORES))


def curves(runs: Sequence[Run], roles: Sequence[str] = ROLES, named: Sequence[Row] | None = None) -> "pd.DataFrame":
    """Return one row per finished cell x evaluation x set, columns CURVES; `seconds` are of training only.

    named: `bases` of these runs, where it is known.
    """
    import pandas as pd

    rows = [
        {
            **_only(base, CURVES),
            "step": point["step"],
            "seconds": point.get("seconds"),
            **{name: point.get(name) for name in LOSSES},
            **scored,
        }
        for run, base in _done(runs, (), named)
        for point in run.curve
        for scored in _sets(point.get("scores") or {}, run, roles)
    ]
    return pd.DataFrame(rows, columns=list(CURVES))


def failures(runs: Sequence[Run], named: Sequence[Row] | None = None) -> "pd.DataFrame":
    """Return one row per attempted cell that is not done, with its status and reason; columns FAILURES.

    named: `bases` of these runs, where it is known.
    """
    import pandas as pd

    rows = []
    for run, base in zip(runs, bases(runs) if named is None else named, strict=True):
        status = run.record["status"]
        if status != "done" or not _scored(run):
            unread = "" if status != "done" else "its record has no scores by metric"
            reason = plain((run.record.get("error") or {}).get("message") or unread)
            rows.append({**_only(base, FAILURES), "status": status, "reason": reason})
    return pd.DataFrame(rows, columns=list(FAILURES))


def _done(runs: Sequence[Run], among: Sequence[Run], named: Sequence[Row] | None) -> list[tuple[Run, Row]]:
    pairs = zip(runs, (bases([*runs, *among]) if named is None else named)[: len(runs)], strict=True)
    return [(run, base) for run, base in pairs if run.record["status"] == "done" and _scored(run)]


def _scored(run: Run) -> bool:
    """Return whether the scores of a record can be read."""
    points = (run.record.get("scores") or {}).values()
    metric = (run.record.get("task_facts") or {}).get("metric")
    whole = all(isinstance(point.get("step"), int) and isinstance(point.get("sets"), Mapping) for point in points)
    return isinstance(metric, str) and whole


def bases(runs: Sequence[Run]) -> list[Row]:
    """Return the columns that each row of a cell has, with the labels that tell it from the other cells."""
    named = labels.of_cells([run.record["cell"] for run in runs])
    return [_base(run, label.model, label.task, label.arm) for run, label in zip(runs, named, strict=True)]


def _base(run: Run, model: str, task: str, arm: str) -> Row:
    record, cell = run.record, run.record["cell"]
    solved = columns.solved(cell["method"], record.get("notes"))
    facts, parameters = record.get("task_facts") or {}, record.get("parameters") or {}
    memory = (record.get("memory") or {}).get("train") or {}
    return {
        "key": record["key"],
        "model": model,
        "task": task,
        "arm": arm,
        "method": cell["method"]["name"],
        "fields": {name: value for name, value in (cell["method"] | solved).items() if name != "name"},
        "cell": cell,
        "solved": solved,
        "category": facts.get("category"),
        "learning_rate": float(cell["recipe"]["learning_rate"]),
        "recipe": cell["recipe"].get("name", ""),
        "seed": int(cell["seed"]),
        "source": cell["model"].get("source") or source_of(cell["model"]["name"]),
        "chance": facts.get("chance"),
        "majority": facts.get("majority"),
        "delta": parameters.get("delta"),
        "head": parameters.get("head") or 0,
        "backbone": parameters.get("backbone"),
        "cells_beside": (record.get("time") or {}).get("cells_beside"),
        "energy_j": run_joules(record),
        "probes": record.get("probes") or {},
        "leaked_rows": str((record.get("notes") or {}).get("leaked_rows") or ""),
        "train_size": cell["task"].get("train_size"),
        "live_bytes": memory.get("live_bytes"),
        "allocated_bytes": memory.get("torch_allocated_bytes"),
        "step_flops": (record.get("flops") or {}).get("step"),
        "unknown_share": _unknown(record.get("notes") or {}),
    }


def _unknown(notes: Mapping[str, Any]) -> float:
    """Return the largest share of unknown tokens that a record notes (see harness/models/unknown_tokens.py)."""
    unknown = [notes.get(f"unknown_{what}") for what in ("inputs", "answers")]
    shares = [share for by_set in unknown if isinstance(by_set, Mapping) for share in by_set.values()]
    return max((float(share) for share in shares if isinstance(share, int | float)), default=0.0)


def _score_rows(run: Run, base: Row, roles: Sequence[str]) -> list[Row]:
    metric = run.record["task_facts"]["metric"]
    losses = {point.get("step"): point.get(LOSS) for point in run.curve}
    rows = []
    for checkpoint, point in (run.record.get("scores") or {}).items():
        flat = {name: scores[metric] for name, scores in point["sets"].items() if scores.get(metric) is not None}
        for scored in _sets(flat, run, roles):
            figures = point["sets"][scored["set"]]
            answers = {name: figures.get(name) for name in ANSWERS}
            chances = run.record["task_facts"].get("chances") or {}
            shared = {"checkpoint": checkpoint, "step": point["step"], "rows": figures.get("n"), "metric": metric}
            shared |= {LOSS: losses.get(point["step"])}
            guess = {"chance": chances.get(scored["set"], base["chance"])}
            by_rows = {ROW_SCORES: (run.row_scores.get(checkpoint) or {}).get(scored["set"])}
            rows.append({**base, **guess, **shared, **answers, **by_rows, **scored})
    rows = _with_sample(run, rows) if TRAIN in roles else rows
    return rows + (_peak(run, rows) if "test" in roles else [])


def _with_sample(run: Run, rows: Sequence[Row]) -> list[Row]:
    """Return the rows with those of the sample of training rows, which a probe measured on the best checkpoint.

    Until that probe was there, records had the sample among their sets. Where both have it, the probe's counts.
    """
    measured = probes.result(run.record, TRAIN) or {}
    figures = (measured.get("sets") or {}).get(TRAIN) or {}
    score = figures.get(run.record["task_facts"]["metric"])
    if not isinstance(score, int | float):
        return list(rows)
    best = run.record["scores"]["best"]["step"]
    like = {row["checkpoint"]: row for row in rows if row["role"] != TRAIN and row["step"] == best}
    sample = {"set": TRAIN, "role": TRAIN, "score": float(score), "rows": figures.get("n")}
    sample |= {ROW_SCORES: measured.get("row_scores"), **dict.fromkeys(ANSWERS)}
    others = [row for row in rows if row["role"] != TRAIN or row["checkpoint"] not in like]
    return [*others, *({**row, **sample} for row in like.values())]


def _peak(run: Run, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the evaluation with the highest mean on the reported sets; the earliest of equals."""
    reported = [row for row in rows if row["role"] == "test"]
    if not reported:
        return []
    points: dict[int, dict[str, float]] = {}
    for row in reported:
        points.setdefault(row["step"], {})[row["set"]] = row["score"]
    for point in run.curve:
        scores = {scored["set"]: scored["score"] for scored in _sets(point.get("scores") or {}, run, ("test",))}
        if scores:
            points.setdefault(point["step"], {}).update(scores)
    complete = max(len(point) for point in points.values())
    full = {step: point for step, point in points.items() if len(point) == complete}
    best = min(full, key=lambda step: (-sum(full[step].values()), step))
    templates = {row["set"]: row for row in reported}
    return [
        {**templates[name], "checkpoint": "peak", "step": best, "score": score, ROW_SCORES: None}
        for name, score in full[best].items()
    ]


def _sets(scores: Mapping[str, Any], run: Run, roles: Sequence[str]) -> list[Row]:
    """Return a row for each set of these roles, test sets in the order of their task: a record may sort its fields."""
    tests = (run.record.get("task_facts") or {}).get("tests") or ["test"]
    rows = []
    order = [*(name for name in tests if name in scores), *(name for name in scores if name not in tests)]
    for name, value in ((name, scores[name]) for name in order):
        role = "test" if name in tests else "other" if name == "test" else name
        score = value.get(run.record["task_facts"]["metric"]) if isinstance(value, Mapping) else value
        if role in roles and isinstance(score, int | float):
            rows.append({"set": name, "role": role, "score": float(score)})
    return rows


@cache
def source_of(model: str) -> str | None:
    """Return where a model's weights come from, by its YAML, because an exported record lacks it."""
    path = conf_files.files("model").get(model)
    return yaml_values.load(plain_files.read_text(path)).get("source", "embedded") if path else None


def _only(row: Row, names: Sequence[str]) -> Row:
    return {name: row[name] for name in names if name in row}
