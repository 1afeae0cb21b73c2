"""One page over the committed reference runs: every claim with its verdict, made from their claims.json. Torch-free.

python -m harness.analysis.overview        writes results/reference/README.md
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import assets, atomic_files

HEAD = """# Our reference runs

Every claim that was judged, with its verdict and what stands behind it; made by `python -m harness.analysis.overview`.
Models called micro- are small ones pretrained on the microworld, a generated English: their numbers test a paper's
claim at small scale and are not the paper's. Forecasts are of the real models' sizes.

| exhibit | model | verdict | claim and evidence |
|---|---|---|---|
"""


def text(folder: Path) -> str:
    """Return the page over the runs in a folder."""
    return HEAD + "".join(_lines(folder)) + _without(folder)


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*/claims.json")):
        name = path.parent.name
        for found in atomic_files.parse(atomic_files.read_text(path))["findings"]:
            yield f"| [{name}]({name}/README.md) | {found['model']} | **{found['verdict']}** | {_cell(found)} |\n"


def _cell(found: dict[str, Any]) -> str:
    return str(found["sentence"]).replace(f": {found['verdict']};", ";", 1).replace("|", r"\|")


def _without(folder: Path) -> str:
    names = [path.parent.name for path in sorted(folder.glob("*/exhibit.json")) if not _judged(path.parent)]
    linked = ", ".join(f"[{name}]({name}/README.md)" for name in names)
    return f"\nWithout claims: {linked}.\n" if names else ""


def _judged(folder: Path) -> bool:
    path = folder / "claims.json"
    return path.is_file() and bool(atomic_files.parse(atomic_files.read_text(path))["findings"])


if __name__ == "__main__":
    (assets.reference() / "README.md").write_text(text(assets.reference()), encoding="utf-8")
