"""The notebook holds no logic and no outputs, and runs from top to bottom."""

import ast
import gzip
import json
import os

import pytest

from harness import assets

NOTEBOOKS = sorted((assets.root() / "notebooks").glob("*.ipynb"))
nbclient = pytest.importorskip("nbclient", reason="the extra `test` brings nbclient")


def read(path):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4)


def code_of(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


SHOWN = {
    "ranking_and_convergence": (3, "tau-b"),
    "memory_and_efficiency": (2, "Peak training memory, forecast"),
    "dora_ranks": (1, "dora scores at least as high as lora at each rank"),
    "own_method": (0, "my_gain"),
}
"""Notebook -> the number of its figures, and a text that its outputs have."""


def test_every_notebook_is_listed():
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped_and_cells_only_look(path):
    for cell in code_of(path):
        assert not cell.outputs
        assert cell.execution_count is None
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert not kinds & {ast.ClassDef, ast.BinOp, ast.Lambda, ast.While}, cell.source


def executed(path, monkeypatch):
    """Return the outputs of a notebook after running it from top to bottom."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(assets.root()), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    book = read(path)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    return [output for cell in book.cells for output in cell.get("outputs", [])]


def check(path, shown):
    """Check that the figures and the text of a notebook are among its outputs."""
    figures, text = SHOWN[path.stem]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= figures
    said = [output.get("text", "") + str(output.get("data", {}).get("text/markdown", "")) for output in shown]
    assert any(text in part for part in said)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*zmq.*:RuntimeWarning")
def test_the_ranking_runs_on_any_archive(make_grid, tmp_path, monkeypatch):
    archive = tmp_path / "records.jsonl.gz"
    with gzip.open(archive, "wt") as file:
        for run in make_grid():
            file.write(json.dumps({"record": run.record, "curve": list(run.curve)}) + "\n")
    monkeypatch.setenv("DELTABENCH_RECORDS", str(archive))
    [path] = [path for path in NOTEBOOKS if path.stem == "ranking_and_convergence"]
    check(path, executed(path, monkeypatch))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*zmq.*:RuntimeWarning")
def test_it_runs_on_the_reference(path, monkeypatch):
    check(path, executed(path, monkeypatch))
