"""Pages of made-up stores, with texts that would be markup, formulas or control sequences somewhere."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.analysis.page import html_file, sources
from harness.experiments.grids.grid import expand
from harness.store import identity
from harness.store.store import Store
from tests.harness import made_runs

HOSTILE = {
    "html": "<img src=x onerror=window.broken=1>",
    "script": "</script><script>window.broken=1</script>",
    "attribute": '" onmouseover="window.broken=1" x=\'',
    "template": "{{ 7 * 7 }}",
    "formula": "=HYPERLINK(1)",
    "latex": r"\input{secret} $x_1$ 100% #1 & ~^",
    "terminal": "\x1b[2J\x1b]0;title\x07",
}
EVERYTHING = " ".join(HOSTILE.values())


def put(store: Store, record: dict[str, Any], curve: Any = (), log: str = "") -> str:
    """Store a record under its own key as the next attempt; return the key."""
    key = str(record["key"])
    store.register_as(key, record["cell"])
    folder = store.next_attempt(key)
    for point in curve:
        folder.append("curve.jsonl", point)
    if log:
        (folder.path / "log.txt").write_text(log, encoding="utf-8")
    store.finish(key, folder, {**record, "attempt": folder.number})
    return key


def fill(store: Store) -> list[str]:
    """Fill a store with two methods on two seeds, a failure with hostile texts, and a cell that was tried twice."""
    keys = []
    for cell in expand([{"task": "micro/qa", "model": "micro-t5-nano", "method": ["full", "lora"], "seed": [0, 1]}]):
        made = made_runs.run(cell.method.name, "micro/qa", cell.seed)
        identified = {**made.record, "key": identity.key(cell), "cell": identity.to_json(cell)}
        keys.append(put(store, identified, made.curve))
    keys.sort(key=lambda key: (store.cell(key).method.name, store.cell(key).seed))
    hostile = made_runs.run("lora", "micro/qa", 7, status="failed").record
    content = {**hostile["cell"], "model": {**hostile["cell"]["model"], "name": HOSTILE["html"]}}
    content["task"] = {**content["task"], "name": HOSTILE["attribute"], "template": HOSTILE["script"]}
    content["method"] = {"name": HOSTILE["formula"], "rank": HOSTILE["template"]}
    error = {"type": "RuntimeError", "message": EVERYTHING, "log": [HOSTILE["script"]], "kind": "error"}
    keys.append(put(store, {**hostile, "cell": content, "error": error, "notes": {"said": EVERYTHING}}, log=EVERYTHING))
    again = made_runs.run("bitfit", "micro/qa", 0)
    put(
        store, {**again.record, "status": "oom", "scores": {}, "error": {"type": "MemoryError", "message": "too large"}}
    )
    keys.append(put(store, again.record, again.curve))
    return keys


def write(path: Path, store: Store, with_reference: Callable[[], sources.Content] | None = None) -> Path:
    """Write the page of a store, beside reference runs where they are given; return the path."""
    content = sources.from_store(Store(store.path, read_only=True))
    content = sources.joined(content, with_reference()) if with_reference else content
    path.write_text(html_file.render(content), encoding="utf-8")
    return path


LACKING = object()


def unfolded(column: Mapping[str, Any]) -> list[Any]:
    """Return the values of a column as the page's own script unfolds it (page_records.js)."""
    if "of" in column:
        parts = {name: unfolded(part) for name, part in column["of"].items()}
        values = [
            {name: items[at] for name, items in parts.items() if items[at] is not LACKING}
            for at in range(column["count"])
        ]
    elif "lists" in column:
        items = iter(unfolded(column["lists"]))
        values = [[next(items) for _ in range(length)] for length in column["lengths"]]
    else:
        values = list(column["values"])
    for at in column.get("lacks", ()):
        values.insert(at, LACKING)
    return values
