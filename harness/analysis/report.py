"""Write the tables, figures and verdicts of an exhibit into a folder, and show them in the terminal.

exhibit.json   tables with the cells behind every number, verdicts, and the digest of the inputs
README.md      tables, figures and verdicts on one page
<view>.csv / .md / .tex, <figure>.svg / .png / .pdf, claims.json / .md
"""

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import errors
from harness.analysis.judging import judge as judge
from harness.analysis.judging import judge_all, looks_made
from harness.analysis.output import table
from harness.analysis.output.table import Table
from harness.experiments import claims, view_registry
from harness.experiments.exhibits import Exhibit
from harness.experiments.verdict import Finding
from harness.files import atomic_files, plain_files, strict_json
from harness.store import requested_grids

if TYPE_CHECKING:
    from rich.console import Console

    from harness.analysis.output.proofs import Proof
    from harness.analysis.output.stale_marks import Stale
    from harness.analysis.study.study import Study
    from harness.store.archive import Run

INDEX = "exhibit.json"
FIGURES = ("svg", "png", "pdf")
SAVED: dict[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None}, "dpi": 130},
    ".pdf": {"metadata": {"CreationDate": None}, "dpi": 130},
}
"""Suffix -> how a file is written: without the day, and with clouds of points as small pictures."""


def load(exhibit: Exhibit) -> None:
    """Import what `render` needs, for a caller that has to wait anyway."""
    from harness.analysis.output import notes, stale_marks, verdict_table  # noqa: F401
    from harness.analysis.study import study  # noqa: F401

    for name in exhibit.views:
        view_registry.VIEWS[name].function()
    for name, _ in exhibit.claims:
        claims.find(name).test()


def render(
    exhibit: Exhibit,
    scale: str,
    runs: "Sequence[Run | Any]",
    folder: Path,
    inputs: str = "",
    words: str = "",
    proof: "Proof | None" = None,
    most: int | None = None,
) -> None:
    """Write everything that the exhibit shows, and exhibit.json last.

    inputs: what the folder was made from, see `digest`. words: the filters and overrides of the command line. runs:
    records, or the rows of harness/forecast/exhibit_rows.py for an exhibit of forecasts. proof: of a reference run.
    most: the most seeds of an exhibit that gets seeds until it is decided, whose claims are judged over several looks.
    """
    from harness.analysis.output import notes, stale_marks
    from harness.analysis.study import study
    from harness.analysis.views import forecast_memory

    studies: list[Any] = (forecast_memory if exhibit.forecast else study).studies(exhibit, runs)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [view_registry.VIEWS[name] for name in exhibit.views]
    stale = stale_marks.Stale.of([] if exhibit.forecast else runs, proof)
    findings = judge_all(exhibit, studies, most is not None)
    shown = _all_tables(chosen, studies, findings, stale)
    for made in shown:
        _write_table(made, folder)
    texts = {v.name: list(v.function()(studies)) for v in chosen if v.kind == "text" and studies}
    for name, lines in texts.items():
        atomic_files.write_text(folder / f"{name}.yaml", "\n".join(lines) + "\n")
    figures, failed = _draw([view for view in chosen if view.kind == "figure"], studies, folder, stale)
    _write_claims(findings, folder)
    index = {
        "exhibit": exhibit.name,
        "title": exhibit.title,
        "source": exhibit.source,
        "scale": scale,
        "words": words,
        "inputs": inputs,
        "cells": len(runs),
        **({"looks": looks_made(studies, most)} if most is not None else {}),
        **({"forecast": True} if exhibit.forecast else {}),
        **({} if exhibit.forecast else {"stale": stale.to_json()}),
        "labels": [*stale.lines(), *([] if exhibit.forecast else notes.labels(studies))],
        "tables": [table.to_json(drawn) for made in shown for drawn in made],
        "texts": texts,
        "figures": figures,
        **({"failed_figures": failed} if failed else {}),
        "findings": [plain(finding) for finding in findings],
    }
    atomic_files.write_text(folder / "README.md", page(index))
    atomic_files.write_json(folder / INDEX, index)


def _all_tables(
    chosen: Sequence[view_registry.View], studies: Sequence[Any], findings: Sequence[Finding], stale: "Stale"
) -> list[list[Table]]:
    """Return the tables of the views, each for every model, and last those of the verdicts; stale cells are marked."""
    from harness.analysis.output import verdict_table

    shown = [_tables(view, studies) for view in chosen if view.kind in view_registry.TABLES]
    shown = [[drawn for drawn in made if drawn.rows] for made in shown]
    if findings:
        models = dict.fromkeys([*(part.model for part in studies), *(finding.model for finding in findings)])
        shown.append([verdict_table.verdicts(_of(findings, model), model) for model in models])
    return [[stale.marked(drawn) for drawn in made] for made in shown if made]


def digest(exhibit: Exhibit, scale: str, records: Iterable[str]) -> str:
    """Return one digest of everything that a rendering depends on: records, exhibit, published numbers, this code."""
    sources = [exhibit.path, *([exhibit.published] if exhibit.published else [])]
    sources += sorted(Path(__file__).parent.rglob("*.py"))
    parts = [scale, *sorted(records), *(plain_files.read_text(path) for path in sources)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def current(folder: Path, inputs: str) -> bool:
    """Return whether the folder contains a rendering of exactly these inputs."""
    try:
        index = strict_json.parse(plain_files.read_text(folder / INDEX))
    except (OSError, ValueError):
        return False
    same = isinstance(index, dict) and index.get("inputs") == inputs
    return same and not index.get("failed_figures")


def show(folder: Path, console: "Console") -> None:
    """Print a rendered exhibit in the terminal: tables, notes, paths of the figures, and a sentence per claim."""
    from rich.text import Text

    index = strict_json.parse(plain_files.read_text(folder / INDEX))
    console.print(Text(f"{index['title']} (scale {index['scale']})", style="bold"))
    for note in index["labels"]:
        console.print(Text(f"  {note}", style="dim"))
    shown = [table.from_json(content) for content in index["tables"]]
    show_tables([made for made in shown if made.name != "verdicts"], console, index["labels"])
    for lines in index["texts"].values():
        console.print(Text("\n".join(lines) + "\n"))
    several = len({finding["model"] for finding in index["findings"]}) > 1
    for finding in index["findings"]:
        where = f"{finding['model']}: " if several else ""
        console.print(Text(f"{where}{finding['sentence']}"))
    for name in index["figures"]:
        console.print(Text(f"figure: {folder / name}.png (.svg, .pdf)"))
    for name, why in index.get("failed_figures", {}).items():
        console.print(Text(f"figure {name} could not be drawn: {why}"))
    console.print(Text(f"tables, claims and the cells behind every number: {folder / 'README.md'}"))


def show_tables(shown: Sequence[Table], console: "Console", told_before: Iterable[str] = ()) -> None:
    """Print tables in the terminal, each note once."""
    from rich.text import Text

    printed = set(told_before)
    for made in shown if "utf" in console.encoding.lower() else map(table.in_ascii, shown):
        console.print(Text(f"{made.title}: {made.model}", style="italic"))
        console.print(table.to_rich(made))
        for note in made.notes:
            if note not in printed:
                console.print(Text(f"  {note}", style="dim"))
                printed.add(note)
        console.print()


def page(index: dict[str, Any]) -> str:
    """Return the exhibit as one Markdown page."""
    parts = [
        f"# {index['title']}",
        "",
        f"Source: {index['source']}. Scale `{index['scale']}`, {index['cells']} cells.",
    ]
    command = requested_grids.exhibit_name(index["exhibit"], index["scale"], index["words"])
    parts += [f"Made by `deltabench reproduce {command}`.", ""]
    parts += [line for note in index["labels"] for line in (f"*{note}*", "")]
    for name in index["figures"]:
        parts += [f"![{name}]({name}.svg)", ""]
    for name, why in index.get("failed_figures", {}).items():
        parts += [f"The figure {name} could not be drawn: `{errors.plain(why).replace('`', '')}`.", ""]
    if index["findings"]:
        parts += ["## Claims", ""]
        parts += [
            f"- **{finding['verdict']}** ({finding['model']}): {finding['sentence']}" for finding in index["findings"]
        ]
        parts.append("")
    parts += ["## Tables", ""]
    parts += [table.to_markdown(table.from_json(content)) for content in index["tables"]]
    for name, lines in index["texts"].items():
        parts += [f"## {name}", "", "```yaml", *lines, "```", ""]
    behind = "; `deltabench show KEY` opens one." if not index.get("forecast") else ", the forecasts in `rows.json`."
    parts += [f"The keys of the cells behind every number stand in `exhibit.json`{behind}", ""]
    return "\n".join(parts)


def plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values, with non-finite numbers as null and the keys of its cells once."""
    bare = [dataclasses.replace(row, sides=((), ())) for row in finding.comparisons]
    shown = dataclasses.replace(finding, comparisons=tuple(bare), chosen_from=())
    content = dict(strict_json.finite(dataclasses.asdict(shown)))
    del content["chosen_from"]
    if not content["neutral"]:
        del content["neutral"]
    for row in content["comparisons"]:
        del row["sides"], row["test"]
        if row["look"] is None:
            del row["look"]
    return content


def picture(name: str, studies: "Sequence[Study]") -> bytes:
    """Return one figure by its view's name as a PNG, for a notebook."""
    from harness.analysis.output import figure_style

    made = io.BytesIO()
    with figure_style.style():
        view_registry.VIEWS[name].function()(studies).savefig(made)
    return made.getvalue()


def _of(findings: Sequence[Finding], model: str) -> list[Finding]:
    return [finding for finding in findings if finding.model == model]


def _tables(view: view_registry.View, studies: "Sequence[Study]") -> list[Table]:
    """Return the tables of a view: one for each model, or one over all models."""
    if view.kind == view_registry.OVER_MODELS:
        return [view.function()(studies)] if studies else []
    return [view.function()(part) for part in studies]


def _write_table(made: Sequence[Table], folder: Path) -> None:
    name = made[0].name
    atomic_files.write_text(folder / f"{name}.csv", table.to_csv(made))
    atomic_files.write_text(folder / f"{name}.md", "\n".join(map(table.to_markdown, made)))
    atomic_files.write_text(folder / f"{name}.tex", "\n".join(map(table.to_latex, made)))


def _write_claims(findings: Sequence[Finding], folder: Path) -> None:
    if not findings:
        return
    atomic_files.write_json(folder / "claims.json", {"findings": [plain(finding) for finding in findings]})
    lines = [f"- **{finding.verdict}** ({finding.model}): {finding.sentence}" for finding in findings]
    atomic_files.write_text(folder / "claims.md", "\n".join(lines) + "\n")


def _draw(
    chosen: Sequence[view_registry.View], studies: "Sequence[Study]", folder: Path, stale: "Stale"
) -> tuple[list[str], dict[str, str]]:
    """Return the names of the drawn figures, and why the others were not; one failed figure stops no other.

    Each is written as SVG, PNG and PDF, byte-equal for equal records.
    """
    drawn: list[str] = []
    failed: dict[str, str] = {}
    for view in chosen if studies else []:
        made = [folder / f"{view.name}.{kind}" for kind in FIGURES]
        try:
            _draw_one(view, studies, stale, *made)
            drawn.append(view.name)
        except Exception as error:
            failed[view.name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            for path in made:
                path.unlink(missing_ok=True)
    return drawn, failed


def _draw_one(view: view_registry.View, studies: "Sequence[Study]", stale: "Stale", *paths: Path) -> None:
    from harness.analysis.output import (
        figure_style,  # here: a matplotlib that cannot be imported costs the figures alone
    )

    with figure_style.style():
        figure = view.function()(studies)
        stale.over(figure)
        figure_style.settle(figure)
        for path in paths:
            figure.savefig(path, **SAVED.get(path.suffix, {}))
