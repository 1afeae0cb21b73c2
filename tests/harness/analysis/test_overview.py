"""The page over the reference runs says what their own pages say."""

import json
import shutil

import pytest

from harness import assets
from harness.analysis import overview, report
from harness.store import archive


def test_the_committed_page_is_current():
    assert (assets.reference() / "README.md").read_text(encoding="utf-8") == overview.text(assets.reference())


def test_every_reference_run_stands_on_it():
    page = overview.text(assets.reference())
    for path in assets.reference().glob("*/exhibit.json"):
        assert f"({path.parent.name}/README.md)" in page


def test_a_finding_is_a_line_with_its_verdict_told_once(tmp_path):
    found = {"model": "m", "verdict": "contradicted", "sentence": "a | b: contradicted; -3 points."}
    for name, findings in (("one", [found]), ("two", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "exhibit.json").write_text("{}")
        (tmp_path / name / "claims.json").write_text(json.dumps({"findings": findings}))
    page = overview.text(tmp_path)
    assert "| [one](one/README.md) | m | **contradicted** | a \\| b; -3 points. |" in page
    assert "Without claims: [two](two/README.md)." in page


def test_pages_are_drawn_anew_from_the_records_beside_them(tmp_path):
    for name in ("dora-table7", "dora-table7-memory"):
        shutil.copytree(assets.reference() / name, tmp_path / name)
        (tmp_path / name / "README.md").unlink()
    assert list(overview.draw_pages(tmp_path, ["dora-table7"])) == ["dora-table7"]
    assert "## Tables" in (tmp_path / "dora-table7" / "README.md").read_text()
    assert not (tmp_path / "dora-table7-memory" / "README.md").exists()


def test_a_page_on_the_cells_of_another_is_drawn_from_its_own_records(tmp_path, monkeypatch):
    """delta-gap's cells are those of delta-ranking, whose archive has older results of its probe."""
    read, from_archive = [], archive.from_archive
    monkeypatch.setattr(archive, "from_archive", lambda path: read.append(path.parent.name) or from_archive(path))
    monkeypatch.setattr(report, "render", lambda *given, **named: None)
    for name in ("delta-gap", "pareto"):
        shutil.copytree(assets.reference() / name, tmp_path / name)
    (tmp_path / "delta-methods").symlink_to(assets.reference() / "delta-methods")
    assert list(overview.draw_pages(tmp_path, ["delta-gap", "pareto"])) == ["delta-gap", "pareto"]
    assert read == ["delta-gap", "delta-methods"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.parent.name for path in assets.reference().glob("*/records.jsonl.gz")))
def test_each_page_comes_from_the_records_beside_it(tmp_path, monkeypatch, name):
    """A page was once overwritten with the numbers of older records."""
    monkeypatch.setattr(report, "_draw", lambda views, studies, folder, stale: (drawn, {}))
    committed, made = assets.reference() / name, tmp_path / name
    drawn = json.loads((committed / "exhibit.json").read_text())["figures"]
    shutil.copytree(committed, made)
    for path in made.glob("*.csv"):
        path.unlink()
    assert list(overview.draw_pages(tmp_path, [name])) == [name]
    for path in [*made.glob("*.csv"), *made.glob("claims.json"), made / "README.md"]:
        assert path.read_text() == (committed / path.name).read_text(), path.name


def test_each_contradiction_is_discussed_and_nothing_else():
    discussed = (assets.reference() / "contradictions.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in discussed.splitlines() if line.startswith("## ")]
    found = {name for name, one in overview.findings_in(assets.reference()) if one["verdict"] == "contradicted"}
    assert sorted(found) == sorted(name for heading in headings for name in heading.split(", "))
