"""A table as data, and its forms: CSV, Markdown, LaTeX, JSON (with the keys behind every number), terminal.

Torch-free and pandas-free: a finished exhibit is shown again from its JSON.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from harness.analysis.study.estimates import Estimate

MISSING = "—"


@dataclass(frozen=True)
class Entry:
    """One entry of a table: its text, its number in the column's unit, its interval, its cells.

    mark: the words best, second and tie where they apply (output/best_marks.py).
    """

    text: str
    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    keys: tuple[str, ...] = ()
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """columns: headings. rows: one entry per column. notes: lines that are shown under the table.

    model: the model of the records. unit: the unit of all numbers, printed once.
    """

    name: str
    title: str
    model: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


def word(text: Any, keys: Iterable[str] = ()) -> Entry:
    """Return an entry that is a text."""
    return Entry(str(text), str(text), keys=tuple(keys))


def number(
    estimate: "Estimate", factor: float = 1.0, digits: int = 1, bounds: bool = False, seeds: bool = False
) -> Entry:
    """Return an estimate times `factor` as "83.1 ±2.0", or with `bounds` as "2.4 [1.9, 3.0]"; else MISSING.

    An interval that was cut is not around its mean, so it stands as bounds. seeds: with the part that is over seeds
    alone, "83.1 ±2.0 (1.2)".
    """
    main = estimate.main
    if math.isnan(main.mean):
        return Entry(MISSING, keys=estimate.keys)
    mean, low, high = (factor * value for value in (main.mean, main.low, main.high))
    text = f"{mean:.{digits}f}"
    if math.isnan(low):
        return Entry(text, mean, keys=estimate.keys)
    if bounds or abs((high - mean) - (mean - low)) > 0.5 * 10**-digits:
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    elif high > low:
        text += f" ±{(high - low) / 2:.{digits}f}"
    if seeds and main.row_se:
        text += f" ({factor * replace(main, row_se=0.0).half():.{digits}f})"
    return Entry(text, mean, low, high, estimate.keys)


def to_csv(tables: Sequence[Table]) -> str:
    """Return all tables of one view as one CSV: `model` first; an estimate has its _low and _high beside it."""
    columns = _in_order([table.columns for table in tables])
    wide = {c for t in tables for row in t.rows for c, e in zip(t.columns, row, strict=True) if e.low is not None}
    header = [part for c in columns for part in ((c, f"{c}_low", f"{c}_high") if c in wide else (c,))]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["model", *header], restval="", lineterminator="\n")
    writer.writerow({name: _plain(name) for name in writer.fieldnames})
    for table in tables:
        for row in table.rows:
            writer.writerow({"model": _plain(table.model)} | _flat(table.columns, row))
    return text.getvalue()


def _in_order(many: Iterable[Sequence[str]]) -> list[str]:
    """Return each column once. One that only later tables have stands before the column that follows it there."""
    merged: list[str] = []
    for columns in many:
        place = len(merged)
        for column in reversed(columns):
            if column in merged:
                place = merged.index(column)
            else:
                merged.insert(place, column)
    return merged


def _flat(columns: Sequence[str], row: Sequence[Entry]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for column, entry in zip(columns, row, strict=True):
        flat[column] = _plain(entry.value)
        if entry.low is not None:
            flat |= {f"{column}_low": _plain(entry.low), f"{column}_high": _plain(entry.high)}
    return flat


_FORMULA, _NUMBER = re.compile(r"[=+\-@\t]."), re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?%)?")


def _plain(value: Any) -> Any:
    """Return a value for CSV. A text that a spreadsheet would read as a formula gets an apostrophe before it."""
    if isinstance(value, str):
        text = value.replace("\r", " ")  # the writer would not quote it, and readers would end the row there
        return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def to_markdown(table: Table) -> str:
    """Return the table as Markdown, with its notes."""
    lines = [_row(table.columns), _row(["---", *["---:"] * (len(table.columns) - 1)])]
    lines += [_row([entry.text for entry in row]) for row in table.rows]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}: {table.model}", "", *lines, "", *notes]) + "\n"


def _row(parts: Sequence[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"


_TEX = {
    "±": r"$\pm$", MISSING: "---", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≥": r"$\geq$", "≈": r"$\approx$",
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "$": r"\$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def tex(text: str) -> str:
    """Return the text with LaTeX's special characters escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    """Return a booktabs table (it needs the package booktabs)."""
    aligned = "l" + "r" * (len(table.columns) - 1)
    body = [" & ".join(map(_tex_entry, row)) + r" \\" for row in table.rows]
    legend = [LEGEND] if any(entry.mark for row in table.rows for entry in row) else []
    notes = " ".join(tex(_sentence(note)) for note in (*legend, *table.notes))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        " & ".join(map(tex, table.columns)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{tex(table.title)}: {tex(table.model)}. {notes}}}",
        rf"\label{{tab:{_label(f'{table.name}-{table.model}')}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


LEGEND = "bold: best of its column; underlined: second; ≈: its interval and the best one's overlap"


def _tex_entry(entry: Entry) -> str:
    """Return an entry for LaTeX, in bold or underlined where it is the best or the second of its column."""
    text, marks = tex(entry.text), entry.mark.split()
    text = rf"\textbf{{{text}}}" if "best" in marks else rf"\underline{{{text}}}" if "second" in marks else text
    return text + (r"$^{\approx}$" if "tie" in marks else "")


def _label(text: str) -> str:
    """Return the text with letters, digits and a few signs alone, which a label may have."""
    return "".join(sign if sign.isalnum() or sign in "-_.:" else "-" for sign in text)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def to_json(table: Table) -> dict[str, Any]:
    """Return the table as JSON values."""
    rows = [
        [{k: v for k, v in vars(entry).items() if v not in (None, (), "") or k == "text"} for entry in row]
        for row in table.rows
    ]
    return {**vars(table), "rows": rows}


def from_json(content: Mapping[str, Any]) -> Table:
    """Return the table of JSON values."""
    rows = tuple(tuple(replace(Entry(**e), keys=tuple(e.get("keys", ()))) for e in row) for row in content["rows"])
    listed = {name: tuple(content[name]) for name in ("columns", "notes")}
    return Table(**{**content, **listed, "rows": rows})


_ASCII = str.maketrans({"±": "+-", MISSING: "-", "↑": "^", "↓": "v", "≥": ">="})


def in_ascii(table: Table) -> Table:
    """Return the table for a terminal that has no other characters, with +- and ^ for its signs."""
    rows = tuple(tuple(replace(entry, text=entry.text.translate(_ASCII)) for entry in row) for row in table.rows)
    notes = tuple(note.translate(_ASCII) for note in table.notes)
    return replace(table, rows=rows, notes=notes, columns=tuple(column.translate(_ASCII) for column in table.columns))


def fitting(table: Table, width: int) -> list[Table]:
    """Return the table in parts of some columns each that fit `width` characters; each part repeats the first column.

    The last part has the notes.
    """
    sizes = _sizes(table)
    groups: list[list[int]] = [[]]
    for at, size in enumerate(sizes[1:], start=1):
        if groups[-1] and sizes[0] + sum(sizes[column] for column in groups[-1]) + size > width:
            groups.append([])
        groups[-1].append(at)
    parts = [
        replace(
            table,
            title=table.title if place == 0 else f"{table.title} (continued)",
            columns=tuple(table.columns[at] for at in (0, *group)),
            rows=tuple(tuple(row[at] for at in (0, *group)) for row in table.rows),
            notes=(),
        )
        for place, group in enumerate(groups)
    ]
    return [*parts[:-1], replace(parts[-1], notes=table.notes)]


def width(table: Table) -> int:
    """Return how many characters wide the table is."""
    return sum(_sizes(table))


def _sizes(table: Table) -> list[int]:
    """Return how many characters wide each column is, with the two spaces beside it."""
    texts = [(head, *(row[at].text for row in table.rows)) for at, head in enumerate(table.columns)]
    return [max(map(len, column)) + 2 for column in texts]


_STYLES = {"best": "bold", "second": "underline"}


def to_rich(table: Table) -> "RichTable":
    """Return the rows for a terminal; the title, which may be wider, is printed above them."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(table.columns):
        drawn.add_column(Text(column), justify="left" if index == 0 else "right", no_wrap=index == 0)
    for row in table.rows:
        drawn.add_row(*(Text(entry.text, style=_STYLES.get(entry.mark.partition(" ")[0], "")) for entry in row))
    return drawn
