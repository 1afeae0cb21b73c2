"""The notebook holds no logic and no outputs, and runs from top to bottom."""

import ast
import gzip
import json
import os

import pytest

from harness import assets
from harness.store.archive import reference

NOTEBOOKS = sorted((assets.root() / "notebooks").glob("*.ipynb"))
nbclient = pytest.importorskip("nbclient", reason="the extra `test` brings nbclient")


def read(path):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4)


def code_of(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped_and_cells_only_look(path):
    for cell in code_of(path):
        assert not cell.outputs
        assert cell.execution_count is None
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert not kinds & {ast.ClassDef, ast.BinOp, ast.Lambda, ast.While}, cell.source


@pytest.mark.parametrize("records", ["synthetic", pytest.param("reference", marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*zmq.*:RuntimeWarning")
def test_it_runs(path, records, make_grid, tmp_path, monkeypatch):
    archive = reference("delta-ranking")
    if records == "synthetic":
        archive = tmp_path / "records.jsonl.gz"
        with gzip.open(archive, "wt") as file:
            for run in make_grid():
                file.write(json.dumps({"record": run.record, "curve": list(run.curve)}) + "\n")
    monkeypatch.setenv("DELTABENCH_RECORDS", str(archive))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(assets.root()), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    book = read(path)
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 3
    assert any("tau-b" in output.get("text", "") for output in shown)
