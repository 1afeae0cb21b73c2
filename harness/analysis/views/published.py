"""The numbers that a paper prints, beside ours row by row.

A row of the published file belongs to our arm of the same method. Where the file has a column `ours`, it says which arm
that is, at whatever scale: "dora rank=8|32" is the arm of dora whose rank is one of these. Else a column that is named
as a field of the method, such as `rank`, decides among several arms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, word
from harness.analysis.study.study import Study
from harness.analysis.views import samples
from harness.analysis.views.forecast_memory import MemoryStudy, peak
from harness.experiments.exhibits import Exhibit
from harness.experiments.published_rows import read as read_published

Row = Mapping[str, str]
OURS, VERSION, AFTERWARDS, SIZE, SHARE = "ours", "paper_version", "README", "n_samples", "params_pct"
MEMORY = "gpu_mem_gb"
MEASURES = {
    "avg_reported": "",
    "avg": "",
    "mtbench_reported": ", MT-Bench 1 to 10",
    "mtbench_score": ", MT-Bench 1 to 10",
}
"""Columns with the printed score, and a remark where it is no average in points."""
CHECKS = {"avg_recomputed": "the mean of the printed columns is", "mtbench_from_figure": "the paper's own figure shows"}
"""Columns that check the printed score."""
LEFT_OUT = (OURS, VERSION, "avg_fig4_v1", "avg_flag", "flag", *CHECKS)
MEAN, TRAINS = "mean", "trains"


@dataclass(frozen=True)
class Printed:
    """One line of the paper: row, of the file; by, its model and measure; texts: heading -> the printed number."""

    row: Row
    by: str
    texts: Mapping[str, str]


def table(study: Any) -> Table:
    """Return our arms and the published rows, those of one arm together.

    The published rows stand alone where the paper prints neither scores nor memory that ours can stand beside.
    """
    if isinstance(study, MemoryStudy) and any(row.get(MEMORY) for row in _rows(study.exhibit)):
        return _of_memory(study)
    if not isinstance(study, Study) or not any(name in row for row in study.published for name in MEASURES):
        return alone(study.exhibit)
    rows = latest(study.published)
    lines, places = printed(study, rows), _places(study, rows)
    left = list(lines)
    compared: list[tuple[Entry, str, dict[str, Entry]]] = []
    for arm in study.clean.arms:
        compared += _ours(study, arm, places)
        mine = [line for line in lines if belongs(study, arm, line.row)]
        left = [line for line in left if line not in mine]
        compared += [(word(arm), line.by, {name: word(text) for name, text in line.texts.items()}) for line in mine]
    named = [(_name(line.row), line) for line in left]
    compared += [(word(name), line.by, {head: word(text) for head, text in line.texts.items()}) for name, line in named]
    heads = tuple(dict.fromkeys(head for *_, entries in compared for head in entries))
    body = tuple(
        (name, word(by), *(entries.get(head, Entry(MISSING)) for head in heads)) for name, by, entries in compared
    )
    shown = next(panel for _, panel, _ in samples.quantities(study))
    text = (
        *notes.label(study),
        f"ours: {study.role} scores in points of 100, mean over {notes.seeds(shown)}{notes.interval(shown)}",
        f"the others: as printed in {study.exhibit.source}, for the paper's models and data",
        f"{MISSING}: not run here, or not printed",
        *_remarks(study.published, rows),
        *rate_marks.notes(study),
    )
    return Table("published", "Ours beside the published", study.model, ("method", "by", *heads), body, text)


def _of_memory(study: MemoryStudy) -> Table:
    """Return our forecasts and the published memory, those of one arm together, by rows in one pass of a step."""
    rows = _rows(study.exhibit)
    left = list(rows)
    compared: list[tuple[str, str, dict[str, Entry]]] = []
    for arm in study.arms:
        ours = {_at(batch): peak(study, study.at(arm, batch)) for batch in study.batches}
        compared.append((arm, "ours, forecast in GiB", ours))
        if share := study.trained(arm):
            ours[TRAINS] = Entry(f"{100 * share:.3g} %", 100 * share)
        mine = [row for row in left if row.get(OURS) and _is_ours(study, arm, row[OURS])]
        left = [row for row in left if row not in mine]
        compared += [(arm, *_printed_memory(row)) for row in mine]
    compared += [(row["method"], *_printed_memory(row)) for row in left]
    batches = sorted({*study.batches, *map(_micro_batch, rows)})
    heads = [*map(_at, batches), *([TRAINS] if any(row.get(SHARE) for row in rows) else []), MEAN]
    heads = [head for head in heads if any(head in entries for *_, entries in compared)]
    body = tuple(
        (word(name), word(by), *(entries.get(head, Entry(MISSING)) for head in heads)) for name, by, entries in compared
    )
    text = (
        "ours: forecast of the peak of training, for the rows of one forward pass",
        f"the others: as printed in {study.exhibit.source}; the rows of a pass are the batch over its parts",
        f"{MISSING}: not forecast here, or not printed",
    )
    return Table("published", "Ours beside the published", study.model, ("method", "by", *heads), body, text)


def _printed_memory(row: Row) -> tuple[str, dict[str, Entry]]:
    """Return (by, heading -> entry) of a published row."""
    texts = {_at(_micro_batch(row)): row[MEMORY], MEAN: row.get(_score(row)) or MISSING}
    texts |= {TRAINS: f"{row[SHARE]} %"} if row.get(SHARE) else {}
    return f"{_model(row)}, GB", {head: word(text) for head, text in texts.items()}


def _micro_batch(row: Row) -> int:
    """Return how many rows of a published run were in one forward pass."""
    parts = row.get("accumulation_steps") or ""
    return int(row["batch_size"]) // (int(parts) if parts.isdigit() else 1)


def _at(batch: int) -> str:
    return f"memory at {batch}"


def alone(exhibit: Exhibit) -> Table:
    """Return the published rows of an exhibit as the paper prints them."""
    every = _rows(exhibit)
    rows = latest(every)
    columns = tuple(name for name in rows[0] if name not in LEFT_OUT) if rows else ("published",)
    body = tuple(tuple(word(row.get(column) or MISSING) for column in columns) for row in rows)
    heads = tuple("backbone" if name == "model" else name for name in columns)
    note = f"printed in {exhibit.source}: the paper's models and data"
    return Table("published", "As published", exhibit.name, heads, body, (note, *_remarks(every, rows)))


def _rows(exhibit: Exhibit) -> Sequence[Row]:
    """Return the rows of an exhibit's published file; none without one."""
    return read_published(exhibit.published) if exhibit.published else ()


def latest(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the paper's last version in the file, or all rows of a file without versions."""
    versions = [row[VERSION] for row in rows if row.get(VERSION) and AFTERWARDS not in row[VERSION]]
    return [row for row in rows if not versions or row.get(VERSION) == versions[-1]]


def _is_ours(study: Study | MemoryStudy, arm: str, named: str) -> bool:
    """Return whether an arm is the one that the column `ours` names."""
    method, *fields = named.split(" ")
    wanted = [field.partition("=")[::2] for field in fields]
    return study.method_of[arm] == method and all(
        _text(study.field(arm, name)) in values.split("|") for name, values in wanted
    )


def belongs(study: Study, arm: str, row: Row) -> bool:
    """Return whether a published row is of our arm."""
    if row.get(OURS):
        return _is_ours(study, arm, row[OURS])
    if study.method_of[arm] != row["method"].lower():
        return False
    variants = [variant for variant in study.clean.arms if study.method_of[variant] == study.method_of[arm]]
    fields = [name for name in row if len({_text(study.field(variant, name)) for variant in variants}) > 1]
    return all(_number(study.field(arm, name)) == _number(row[name]) for name in fields)


def _places(study: Study, rows: Sequence[Row]) -> dict[str, tuple[int | None, str]]:
    """Return heading -> (place of the column in our panel, None for the mean; column of the file)."""
    sizes = samples.sizes(study)
    if any(row.get(SIZE) for row in rows) and sizes:
        most = max(sizes.values())
        return {_share(size, most): (study.clean.tasks.index(name), SIZE) for name, size in sizes.items()}
    by_name = {name.lower(): name for name in rows[0]}
    short = [name.partition(":")[2] or name for name in study.clean.tasks]
    places: dict[str, tuple[int | None, str]] = {
        by_name[name]: (index, by_name[name]) for index, name in enumerate(short) if name in by_name
    }
    return {**places, MEAN: (None, _score(rows[0]))}


def printed(study: Study, rows: Sequence[Row]) -> list[Printed]:
    """Return the lines of the paper. Scores at several numbers of training rows are one line."""
    places = _places(study, rows)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (_model(row), row["method"]) if row.get(SIZE) else tuple(row.values())
        groups.setdefault(key, []).append(row)
    most = max((float(row[SIZE]) for row in rows if row.get(SIZE)), default=0.0)
    lines = []
    for group in groups.values():
        first, score = group[0], _score(group[0])
        texts = {_share(float(row[SIZE]), most): row[score] for row in group if row.get(SIZE)}
        texts = texts or {head: first.get(column) or MISSING for head, (_, column) in places.items()}
        if first.get(SHARE):
            texts[TRAINS] = f"{first[SHARE]} %"
        lines.append(Printed(first, f"{_model(first)}{MEASURES.get(score, '')}", texts))
    return lines


def _ours(
    study: Study, arm: str, places: Mapping[str, tuple[int | None, str]]
) -> Iterator[tuple[Entry, str, dict[str, Entry]]]:
    """Yield (name, by, heading -> entry) of one arm, for each measure of its answers."""
    for measure, panel, factor in samples.quantities(study):
        digits = 2 if factor == 1 else 1
        entries = {
            head: rate_marks.scored(study, arm, index, panel, factor, digits) for head, (index, _) in places.items()
        }
        if trained := study.trained(arm):
            entries[TRAINS] = Entry(f"{100 * trained[1]:.3g} %", 100 * trained[1], keys=study.clean.cells(arm))
        yield rate_marks.named(study, arm), f"ours{f', {measure}' if measure != 'score' else ''}", entries


def _remarks(every: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the published file notes: sums that do not agree, and scores that another version prints."""
    for row in rows:
        flag, score = row.get("avg_flag") or row.get("flag") or "", _score(row)
        known = [(text, row[name]) for name, text in CHECKS.items() if row.get(name)]
        if known and flag:
            why = "cut, not rounded" if flag == "trunc" else f"but {known[0][0]} {known[0][1]}"
            yield f"{_name(row)}, {_model(row)}: {row[score]} is printed, {why}"
    for row in rows:
        same = [
            version
            for version in every
            if _identity(version) == _identity(row) and version[_score(row)] != row[_score(row)]
        ]
        if row.get(VERSION) and same:
            others = ", ".join(f"{version[_score(row)]} in {version[VERSION]}" for version in same)
            yield f"{_name(row)}, {_model(row)}: {row[_score(row)]} in {row[VERSION]}, {others}"


def _identity(row: Row) -> tuple[str | None, ...]:
    return row.get("model"), row["method"], row.get("rank")


def _name(row: Row) -> str:
    return f"{row['method']}{f' rank={rank}' if (rank := row.get('rank')) else ''}"


def _model(row: Row) -> str:
    """Return the model of a published row; a table of one model may have no column for it."""
    return row.get("model") or "the paper"


def _score(row: Row) -> str:
    return next((name for name in MEASURES if name in row), next(iter(row)))


def _share(size: float, most: float) -> str:
    return f"{100 * size / most:.0f}% of the rows"


def _text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
