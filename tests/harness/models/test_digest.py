"""Two models never share a key: what a folder holds is the model, whatever it is called and wherever it lies."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.config.schema import Cell, ModelConfig
from harness.models import weight_files
from harness.store import identity

FILES = {
    "config.json": '{"model_type": "t5", "d_model": 8}',
    "tokenizer.json": '{"model": {}}',
    "tokenizer_config.json": '{"eos_token": "</s>"}',
    "vocab.json": '{"a": 0}',
    "merges.txt": "a b\n",
    "modeling_own.py": "x = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    save_file({"a": np.zeros((2, 2), "float32"), "b": np.ones(3, "float32")}, folder / "model.safetensors")
    return folder


@pytest.fixture
def key(cell: Callable[..., Cell]) -> Callable[..., str]:
    """The key of a cell on a model folder, always by the same name."""

    def key(folder: Path, **fields: Any) -> str:
        config = ModelConfig(name="same", family="t5", source="folder", path=str(folder), **fields)
        one = cell()
        return identity.key(Cell(one.method, weight_files.resolve(config), one.task, one.objective, one.recipe))

    return key


def _changed(folder: Path, name: str) -> Path:
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    path = other / name
    if name == "model.safetensors":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif name == "config.json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "d_model": 9}))
    else:
        path.write_text(path.read_text().replace("a", "c").replace("e", "f").replace("1", "2"))
    assert path.read_bytes() != (folder / name).read_bytes()
    return other


def test_a_copy_elsewhere_is_the_same_model(folder: Path, key: Callable[..., str], tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "deep" / "copy")
    assert key(folder) == key(tmp_path / "deep" / "copy")


@pytest.mark.parametrize("name", [*FILES, "model.safetensors"])
def test_one_byte_makes_another_model(folder: Path, key: Callable[..., str], name: str) -> None:
    """Code beside the weights counts where it is run."""
    ran = {"trust_remote_code": True}
    assert key(folder, **ran) != key(_changed(folder, name), **ran)


def test_weights_do_not_count_where_they_are_drawn_anew(folder: Path, key: Callable[..., str]) -> None:
    other = _changed(folder, "model.safetensors")
    assert key(folder, weights="random") == key(other, weights="random") != key(folder)


def test_code_that_is_not_run_does_not_count(folder: Path, key: Callable[..., str]) -> None:
    assert key(folder) == key(_changed(folder, "modeling_own.py"))


def test_a_shard_more_is_another_model(folder: Path, key: Callable[..., str]) -> None:
    before = key(folder)
    save_file({"c": np.ones(1, "float32")}, folder / "model-2.safetensors")
    assert key(folder) != before
