"""Claims and exhibits as the plain values that the template writes. Torch-free."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.analysis import claim_findings
from harness.analysis.output import table
from harness.analysis.output.table import Entry, Table
from harness.analysis.page import bibliography, figure_images, interval_bars
from harness.analysis.page.sources import Shown
from harness.experiments.verdict import CONSTRUCTION, VERDICTS, parts_of

MOST_KEYS = 12
"""The most cells that the address of a number names."""
NO_PAPER = "deltabench's own"


FORMS: Mapping[str, Callable[[Sequence[Table]], str]] = {
    "csv": table.to_csv,
    "tex": lambda alike: "\n".join(map(table.to_latex, alike)),
}


def css(verdict: str) -> str:
    """Return the class of a verdict's badge."""
    return "construction" if verdict == CONSTRUCTION else verdict if verdict in VERDICTS else "untested"


def claims(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return one row for each verdict on a claim. Where an exhibit tests one claim several times, addresses differ."""
    rows, seen = [], Counter[str]()
    for exhibit in shown:
        for finding in exhibit.index["findings"]:
            address = f"{exhibit.name}/{finding['claim']}/{finding['model']}"
            seen[address] += 1
            rows.append(_claim(exhibit, finding, address if seen[address] == 1 else f"{address}/{seen[address]}"))
    return rows


def _claim(exhibit: Shown, finding: Mapping[str, Any], address: str) -> dict[str, Any]:
    text, rest = parts_of(finding)
    source = str(finding.get("source") or exhibit.index["source"])
    return {
        "address": address,
        "paper": ", ".join(claim_findings.paper_names(source)) or NO_PAPER,
        "source": source,
        "text": text,
        "rest": rest,
        "exhibit": exhibit.name,
        "model": finding["model"],
        "scale": exhibit.index["scale"],
        "cells": exhibit.index["cells"],
        "estimand": finding["estimand"],
        "verdict": finding["verdict"],
        "css": css(finding["verdict"]),
        "bars": interval_bars.bars(finding),
        "margin": f"{finding['margin']:g}",
        "unit": finding["scale"],
        "needed": interval_bars.needed(finding),
    }


def exhibits(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return each exhibit with its figures, claims, tables and downloads."""
    return [_exhibit(exhibit) for exhibit in shown]


def _exhibit(exhibit: Shown) -> dict[str, Any]:
    index = exhibit.index
    findings = [
        {**finding, "css": css(finding["verdict"]), **dict(zip(("text", "rest"), parts_of(finding), strict=True))}
        for finding in index["findings"]
    ]
    outcomes = [f"{finding['claim']} {finding['verdict']} ({finding['model']})" for finding in findings]
    counts = Counter(finding["verdict"] for finding in findings)
    return {
        "name": exhibit.name,
        "group": exhibit.group,
        "title": index["title"],
        "source": index["source"],
        "scale": index["scale"],
        "cells": index["cells"],
        "labels": index["labels"],
        "command": exhibit.command,
        "counts": [(verdict, css(verdict), counts[verdict]) for verdict in VERDICTS if counts[verdict]],
        "figures": [
            {
                "file": f"{exhibit.name}-{name}.svg",
                "alternative": figure_images.alternative(name, str(index["title"]), outcomes),
            }
            for name in exhibit.figures
        ],
        "findings": findings,
        "tables": [_table(made, linked=not index.get("forecast")) for made in exhibit.tables],
        "texts": [(name, "\n".join(lines)) for name, lines in index["texts"].items()],
        "downloads": _downloads(exhibit),
    }


def _table(made: Table, linked: bool) -> dict[str, Any]:
    """Return a table. linked: whether the keys of its numbers are those of attempts on the page."""
    rows = [[_entry(entry, linked) for entry in row] for row in made.rows]
    marked = table.LEGEND.capitalize() + "." if any(entry.mark for row in made.rows for entry in row) else ""
    words = {"title": made.title, "model": made.model, "columns": made.columns, "notes": made.notes}
    return {**words, "rows": rows, "marked": marked}


def _entry(entry: Entry, linked: bool) -> dict[str, Any]:
    keys = tuple(dict.fromkeys(entry.keys)) if linked else ()
    short = ",".join(key[:7] for key in keys) if len(keys) <= MOST_KEYS else ""
    return {"text": entry.text, "cells": short, "css": entry.mark}


def _downloads(exhibit: Shown) -> list[dict[str, str]]:
    """Return the files of an exhibit that a reader can save."""
    names = dict.fromkeys(made.name for made in exhibit.tables)
    saved = [{"file": f"{exhibit.name}-{name}.{kind}", "label": f"{name}.{kind}"} for name in names for kind in FORMS]
    saved += [{"file": f"{exhibit.name}-{name}.svg", "label": f"{name}.svg"} for name in exhibit.figures]
    cited = bibliography.of(str(exhibit.index["source"]))
    return [*saved, *([{"file": f"{exhibit.name}.bib", "label": "BibTeX"}] if cited else [])]


def files(shown: Sequence[Shown]) -> dict[str, str]:
    """Return the name and the text of every file that the exhibits offer, their figures among them."""
    texts: dict[str, str] = {}
    for exhibit in shown:
        for name in dict.fromkeys(made.name for made in exhibit.tables):
            alike = [made for made in exhibit.tables if made.name == name]
            texts |= {f"{exhibit.name}-{name}.{kind}": form(alike) for kind, form in FORMS.items()}
        texts |= {f"{exhibit.name}-{name}.svg": figure_images.image(svg) for name, svg in exhibit.figures.items()}
        if cited := bibliography.of(str(exhibit.index["source"])):
            texts[f"{exhibit.name}.bib"] = cited
    return texts
