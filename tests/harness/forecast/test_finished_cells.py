"""Records of our committed runs as samples: what is remembered of them says the same, and is found again."""

from collections import Counter
from pathlib import Path

import pytest

from harness import assets
from harness.forecast import finished_cells
from harness.forecast.finished_cells import MOST_READ, reduced, sample_of
from harness.paths import CACHE
from harness.store import archive

SOME = sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))[::6]


@pytest.mark.parametrize("path", SOME, ids=[path.parent.name for path in SOME])
def test_a_reduced_record_is_the_same_sample(path: Path) -> None:
    records = [run.record for run in archive.from_archive(path)]
    assert [sample_of(reduced(record)) for record in records] == [sample_of(record) for record in records]


def test_some_cells_of_every_kind_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(assets, "reference", lambda: SOME[0].parents[1])
    read, from_archive = [], archive.from_archive
    monkeypatch.setattr(archive, "from_archive", lambda path: read.append(path) or from_archive(path))
    made = finished_cells.reference_records()
    assert len(read) > 1
    read.clear()
    assert finished_cells.reference_records() == made
    assert read == []
    kinds = Counter(tuple(record["cell"][part]["name"] for part in ("method", "model", "task")) for record in made)
    assert max(kinds.values()) == MOST_READ
    everything = {
        tuple(run.record["cell"][part]["name"] for part in ("method", "model", "task"))
        for path in SOME
        for run in from_archive(path)
        if run.record["status"] == "done"
    }
    assert everything <= kinds.keys()
