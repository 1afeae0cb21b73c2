"""The table of all parts that are in a folder. Torch is not imported."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TABLE = "README.md"
NAMES = {"trainer": "Trainer + PEFT", "bare": "bare PEFT loop", "ours": "ours"}
HEAD = """# How fast a cell is, beside transformers' Trainer with PEFT and a bare PEFT loop

`make bench` writes this page and the JSON files beside it, which have quartiles and more. `make bench ARGS="--only
'step/*-nano/*'"` measures parts anew. The sides take turns in one run, on the same batches, in fp32, on one thread,
with AdamW and without dropout. The losses of their first steps are compared, and a part whose sides compute something
different has no times. Ratios are ours / other: below 1 ours is faster or smaller. A figure is the median over n
alternations, followed by the least and the most. A wide range says more about other work on the machine than about a
side. The processor time of a step is the process's own and depends less on it. In the steps all sides keep the memory
that they free, as our cells do. A cell and a grid are timed with each side's own settings; its answers are chosen by
likelihood in ours and generated in the Trainer's script.
"""
BUSY = (
    "**More processes wanted to run than there are processors, so read no time from it, and ratios with their ranges.**"
)
"""Said of parts during which the load was higher than the number of cores."""
LIBRARIES = ("torch", "transformers", "peft", "accelerate")
KINDS = {
    "step": "Milliseconds a training step",
    "cell": "Seconds a cell, evaluations included",
    "grid": "Seconds a grid of cells, one after the other",
    "start-up": "Seconds until a command has answered",
    "memory": "MiB at the peak of training, above the loaded model",
}


def write(folder: Path, order: Sequence[str]) -> None:
    """Write the table of all parts in the folder. order: the parts' names as the table has them."""
    parts = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    parts.sort(key=lambda part: order.index(part["part"]))
    chapters = [HEAD, _machines(parts)]
    for kind, title in KINDS.items():
        rows = [row for part in parts if part["part"].partition("/")[0] == kind for row in _rows(part)]
        if rows:
            chapters.append(f"## {title}\n\n" + table(rows))
    (folder / TABLE).write_text("\n".join(chapters), encoding="utf-8")


def lines(part: Mapping[str, Any]) -> str:
    """Return a part's rows as text."""
    about = f"{part['part']}: {part['alternations']} alternations, load {part['load_before']} to {part['load_after']}"
    rows = ("  ".join(f"{name}: {cell}" for name, cell in row.items()) for row in _rows(part))
    return "\n  ".join([about, *rows])


def table(rows: list[dict[str, str]]) -> str:
    """Return rows as a Markdown table; a row lacks what does not apply to it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    body = [f"| {' | '.join(row.get(name, '') for name in names)} |" for row in rows]
    return "\n".join([f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", *body, ""])


def figure(of: Mapping[str, Any]) -> str:
    """Return a median with its range, to three digits."""
    if of["n"] == 1:
        return _short(of["median"])
    return f"{_short(of['median'])} ({_short(of['least'])} to {_short(of['most'])})"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _machines(parts: list[dict[str, Any]]) -> str:
    """Return one line for each machine and commit, with the parts' dates and loads."""
    if not parts:
        return ""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        one = part["machine"]
        versions = ", ".join(f"{name} {one['packages'].get(name)}" for name in LIBRARIES)
        commit = f"{(one['commit'] or 'unknown')[:12]}{' with changes' if one['changed'] else ''}"
        memory = f"{one['memory_bytes'] / 2**30:.0f} GiB"
        text = (
            f"{one['processor']}, {one['cores']} cores ({', '.join(one['flags']) or 'no flags known'}), "
            f"{memory}, {one['system']}, Python {one['python']}, {versions}; commit {commit}"
        )
        found.setdefault(text, []).append(part)
    rows = []
    for text, many in found.items():
        loads = [load for part in many for load in (part["load_before"], part["load_after"])]
        begun, ended = min(part["begun"] for part in many), max(part["ended"] for part in many)
        busy = f" {BUSY}" if max(loads) > many[0]["machine"]["cores"] else ""
        rows.append(f"- {text}. {begun} to {ended}, load {min(loads):g} to {max(loads):g}.{busy}")
    return "\n".join([*rows, ""])


def _rows(part: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    kind, shape, method = [*part["part"].split("/"), "", ""][:3]
    figures, n = part["figures"], str(part["alternations"])
    if kind == "start-up":
        for name, seconds in figures["seconds"].items():
            yield {"command": f"`{name}`", "seconds": figure(seconds), "n": n}
    elif kind == "grid":
        yield {"backbone": shape, "cells": str(figures.get("cells", "")), **_sides(figures, UNITS[kind]), "n": n}
    else:
        yield {"backbone": shape, "method": method, **_sides(figures, UNITS[kind]), "n": n}


UNITS = {"step": "ms", "cell": "seconds", "grid": "seconds", "memory": "mib_above_loaded"}
PARTS = ("training", "evaluation", "around")
"""Parts of a cell's seconds."""
OTHERWISE = {"processor_ratio": "by processor time", "ratio_without_evaluation": "without evaluation"}
"""Further ratios of the same sides."""


def _sides(one: Mapping[str, Any], unit: str) -> dict[str, str]:
    """Return the figures of the sides and their ratios; where they were refused, why."""
    if "refused" in one:
        return {"refused": one["refused"]}
    found = {NAMES[side]: figure(of.get("total", of)) for side, of in one[unit].items()}
    for side, of in one[unit].items():
        if PARTS[0] in of:
            found[f"{NAMES[side]}: {', '.join(PARTS)}"] = ", ".join(_short(of[part]["median"]) for part in PARTS)
    found |= {f"ours / {NAMES[side]}": figure(of) for side, of in one["ratio"].items()}
    for name, label in OTHERWISE.items():
        found |= {f"ours / {NAMES[side]}, {label}": figure(of) for side, of in one.get(name, {}).items()}
    return found
