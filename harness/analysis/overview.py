"""One page over the committed reference runs: every claim with its verdict, made from their claims.json. Torch-free.

python -m harness.analysis.overview                    writes results/reference/README.md
python -m harness.analysis.overview --pages [NAME …]   first draws these reference runs (or all) anew from their records
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from harness import assets
from harness.analysis import report
from harness.analysis.output import proofs
from harness.config import conf_files
from harness.experiments import exhibits
from harness.experiments.verdict import parts_of
from harness.files import plain_files, strict_json
from harness.forecast import exhibit_rows
from harness.store import archive

HEAD = """# Our reference runs

Every claim that was judged, with its verdict and the numbers behind it. Models whose names begin with `micro-` are
small backbones that were pretrained on the microworld, a generated English world: their numbers test a paper's claim
at small scale, and they are not the paper's numbers. Forecasts of memory are for the real models. This page is made
by `python -m harness.analysis.overview`. [Contradicted claims](contradictions.md) says what differs from the papers
where a claim is contradicted.

Each claim names the smallest difference that counts, its margin. It is reproduced where the whole 95 % interval of the
difference lies beyond the margin, and contradicted where the whole interval lies short of it. So an interval with 0 in
it contradicts a claim if its far end is below the margin: a smaller difference may exist. "At least as high" is
reproduced where the whole interval lies above minus the margin. Otherwise a claim is inconclusive. Numbers in square
brackets are 95 % intervals, and the verdicts on the comparisons of one claim are adjusted together (Holm). The pages of
the exhibits name each margin with its reason.

"""

TABLE = """
| exhibit | model | verdict | claim and evidence |
|---|---|---|---|
"""


def text(folder: Path) -> str:
    """Return the page over the runs in a folder."""
    return HEAD + _counts(folder) + TABLE + "".join(_lines(folder)) + _without(folder)


def draw_pages(folder: Path, names: Collection[str] = ()) -> Iterator[str]:
    """Draw the pages of reference runs in a folder anew from their records or forecasts; yield each name."""
    for path in sorted(folder.glob("*/exhibit.json")):
        if names and path.parent.name not in names:
            continue
        index, place = plain_files.read_json(path), path.parent
        exhibit = exhibits.load(place.name, conf_files.folders()[:-1])
        # An exhibit on the cells of another has an archive of its own where its probes looked at them.
        home = place if (place / archive.ARCHIVE).is_file() else folder / exhibit.cells_of
        runs = exhibit_rows.load(place) if exhibit.forecast else archive.from_archive(home / archive.ARCHIVE)
        words = str(index.get("words", ""))
        most = (index.get("looks") or {}).get("most")
        report.render(exhibit, index["scale"], runs, place, words=words, proof=proofs.load(home), most=most)
        yield place.name


def findings_in(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every finding of the runs in a folder with the name of its exhibit."""
    for path in sorted(folder.glob("*/claims.json")):
        for finding in strict_json.parse(plain_files.read_text(path))["findings"]:
            yield path.parent.name, finding


def _counts(folder: Path) -> str:
    counts = Counter(finding["verdict"] for _, finding in findings_in(folder))
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
    return f"{counts.total()} verdicts: {listed}.\n"


def _lines(folder: Path) -> Iterator[str]:
    for name, finding in findings_in(folder):
        yield f"| [{name}]({name}/README.md) | {finding['model']} | **{finding['verdict']}** | {_cell(finding)} |\n"


def _cell(finding: dict[str, Any]) -> str:
    return "; ".join(filter(None, parts_of(finding))).replace("|", r"\|")


def _without(folder: Path) -> str:
    names = [path.parent.name for path in sorted(folder.glob("*/exhibit.json")) if not _judged(path.parent)]
    linked = ", ".join(f"[{name}]({name}/README.md)" for name in names)
    return f"\nWithout claims: {linked}.\n" if names else ""


def _judged(folder: Path) -> bool:
    path = folder / "claims.json"
    return path.is_file() and bool(strict_json.parse(plain_files.read_text(path))["findings"])


if __name__ == "__main__":
    if "--pages" in sys.argv[1:]:
        for drawn in draw_pages(assets.reference(), sys.argv[2:]):
            sys.stdout.write(f"{drawn}\n")
    (assets.reference() / "README.md").write_text(text(assets.reference()), encoding="utf-8")
