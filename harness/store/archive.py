"""Export of a store's records into one file, an archive of JSON lines or a Parquet table, and reading of archives.

Torch is not imported.
"""

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import assets, private_paths
from harness.errors import UsageError
from harness.files import atomic_files, plain_files, strict_json
from harness.store import columns, fingerprint, identity, requested_grids
from harness.store import record as record_form
from harness.store.attempt_folder import CHECKPOINTS, CURVE, ROW_SCORES, packed
from harness.store.cell_files import KEY
from harness.store.record import scores, summarise
from tasks.metrics.row_figures import Packed

if TYPE_CHECKING:
    from harness.store.store import Store


def archive(store: "Store", keys: Iterable[str], path: Path) -> int:
    """Write records, curves and what test rows scored as gzipped JSON lines, sorted by key, without paths of this
    machine; return how many.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        atomic_files.atomic(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
    ):
        for record, curve in store.runs(sorted(set(keys))):
            scored = store.row_scores(record)
            content = {**row(record, curve), **({"row_scores": scored} if scored else {})}
            zipped.write(strict_json.encode(content, sort_keys=True))
            count += 1
    return count


def row(record: dict[str, Any], curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {"record", "curve"} without the cell's runtime fields, which hold paths, and without paths in texts."""
    try:
        cell = identity.to_json(identity.from_json(record["cell"]), kinds=("identity", "provenance"))
    except UsageError:  # a cell of another version: its fields are not all known here
        cell = identity.without_runtime(record["cell"])
    known = private_paths.paths(record["cell"])
    rest = {name: value for name, value in record.items() if name not in ("cell", "key")}
    return {"record": {**private_paths.hidden(rest, known), "key": record["key"], "cell": cell}, "curve": curve}


LAST = ("error", "fingerprint", "ended", "record", "curve")
COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("key", "status", "method", "model", "task", "recipe", "objective", "metric"), "string"),
    **dict.fromkeys(("attempt", "seed", "steps", "best_step", "last_step"), "int64"),
    **dict.fromkeys(("delta_parameters", "head_parameters", "backbone_parameters"), "int64"),
    **dict.fromkeys(("learning_rate", "validation_best", "test_best", "validation_last", "test_last"), "float64"),
    **dict.fromkeys(("train_s", "wall_s"), "float64"),
    "stale": "bool",
    **dict.fromkeys(LAST, "string"),
}
"""The columns that every Parquet table has, with their types; those of columns.py stand before the last five.

test_*: the task's metric, averaged over the reported sets. record, curve: the complete ones, as JSON.
"""
_AT_ONCE = 2000
"""The number of rows that are written together."""


def table(store: "Store", keys: Iterable[str], path: Path) -> int:
    """Write one row per record, columns COLUMNS and those of columns.py, sorted by key, as one Parquet file.

    Return the number of rows.

    Raises UsageError where pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("a Parquet file needs pyarrow, which comes with datasets: pip install pyarrow.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    keys, count = sorted(set(keys)), 0
    own = columns.kinds(columns.flat(record) for record, _ in store.runs(keys, curves=False))
    named = {**{name: kind for name, kind in COLUMNS.items() if name not in LAST}, **own}
    named |= {name: COLUMNS[name] for name in LAST}
    shape = pyarrow.schema([(columns.text(name), pyarrow.type_for_alias(kind)) for name, kind in named.items()])
    runs = store.runs(keys)
    with atomic_files.atomic(path) as temporary, parquet.ParquetWriter(temporary, shape, compression="zstd") as writer:
        while rows := [_columns(*run, own) for run in islice(runs, _AT_ONCE)]:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=shape))
            count += len(rows)
    return count


def _columns(record: dict[str, Any], curve: list[dict[str, Any]], own: Mapping[str, str]) -> dict[str, Any]:
    """Return one row of the Parquet table. own: the columns of columns.py with their types."""
    summary, facts = summarise(record), record.get("task_facts") or {}
    parameters, clock = record.get("parameters") or {}, record.get("time") or {}
    reached = record.get("scores") or {}
    whole = row(record, curve)
    values = {
        **{name: summary.get(name) for name in COLUMNS if name in summary},
        "key": record["key"],
        "stale": fingerprint.is_stale(record),
        "metric": facts.get("metric"),
        "learning_rate": record["cell"]["recipe"].get("learning_rate"),
        **{f"{part}_parameters": parameters.get(part) for part in ("delta", "head", "backbone")},
        **{name: clock.get(name) for name in ("train_s", "wall_s")},
        **{f"{point}_step": (reached.get(point) or {}).get("step") for point in CHECKPOINTS},
        **{f"{role}_{point}": value for point in CHECKPOINTS for role, value in scores(record, point).items()},
        "error": (whole["record"].get("error") or {}).get("message"),
        "ended": (record.get("provenance") or {}).get("ended"),
        "record": strict_json.encode(whole["record"]).decode(),
        "curve": strict_json.encode(whole["curve"]).decode(),
    }
    shown = columns.flat(whole["record"])
    flat = {name: _text(value) if COLUMNS[name] == "string" else value for name, value in values.items()}
    return {**flat, **{columns.text(name): columns.cast(shown.get(name), kind) for name, kind in own.items()}}


def _text(value: Any) -> str | None:
    return None if value is None else columns.text(str(value))


ARCHIVE = "records.jsonl.gz"


@dataclass(frozen=True)
class Run:
    """One record (record.json) with its curve (rows of curve.jsonl). row_scores: what each test row scored, where it
    is known.
    """

    record: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]] = ()
    row_scores: Packed = field(default_factory=dict)


def from_store(store: "Store", keys: Iterable[str], only_records: bool = False) -> list[Run]:
    """Return the current records of these cells; a cell without a record is left out.

    only_records: whether to leave out the curves, and what test rows scored.
    """
    return [
        Run(record, tuple(curve), {} if only_records else store.row_scores(record))
        for record, curve in store.runs(keys, not only_records)
    ]


def from_archive(path: Path) -> list[Run]:
    """Return exported records from gzipped JSON lines of {"record", "curve", "row_scores"}. Raises UsageError for any
    other line.
    """
    runs = []
    try:
        for row in plain_files.read_packed(path, linked=True):
            runs.append(Run(row["record"], tuple(row.get("curve") or ()), row.get("row_scores") or {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{path} is no archive of records: line {len(runs) + 1} cannot be read ({why}). Export or copy it again."
        ) from None
    return runs


def unpack(path: Path, store: "Store", index: Mapping[str, Any] | None = None) -> None:
    """Write the runs of an archive into a new store, under the numbers of their attempts.

    An archive has no weights and no predictions. index: the content of the exhibit.json beside it, whose grids are
    noted. Raises UsageError for an archive without runs, and for one with a line that is no run.
    """
    runs = from_archive(path)
    if not runs:
        raise UsageError(f"{path} has no records: export or copy it again.")
    for number, run in enumerate(runs, 1):
        try:
            _restore(run, store)
        except FileExistsError:
            raise _broken(path, number, "an earlier line is the same attempt at the same cell") from None
        except (ValueError, record_form.Newer) as error:
            raise _broken(path, number, str(error)) from None
    for grid in requested_grids.of_exhibit(index, (run.record for run in runs)) if index else ():
        requested_grids.note(store, grid)


def _broken(path: Path, number: int, why: str) -> UsageError:
    return UsageError(f"{path}, line {number}: {why}. Export or copy the archive again; nothing was taken from it.")


def _restore(run: Run, store: "Store") -> None:
    if not (isinstance(run.record, dict) and isinstance(run.row_scores, dict)):
        raise ValueError("its record or its row scores are no JSON objects")
    key, attempt = str(run.record.get("key")), run.record.get("attempt")
    if not KEY.fullmatch(key) or type(attempt) is not int or attempt < 1:
        raise ValueError("its record has no key or no attempt")
    record = record_form.record(dict(run.record), key, attempt)
    folder = store.attempt(store.register_as(key, record["cell"], durable=False), attempt)
    folder.path.mkdir(parents=True)
    for point in run.curve:
        if not (isinstance(point, dict) and record_form.is_point(point)):
            raise ValueError("a point of its curve has no step or scores")
        folder.append(CURVE, point)
    if run.row_scores:
        folder.write(ROW_SCORES, packed(run.row_scores))
    store.finish(key, folder, record)


def reference(exhibit: str) -> Path:
    """Return the path of the project's committed records of an exhibit; the file may be absent."""
    return assets.reference() / exhibit / ARCHIVE
