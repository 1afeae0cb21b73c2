"""GGUF files are converted once, by the digest of their content, and every way in which that can fail is a sentence."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError
from harness.models import backbone, digest, gguf_cache, gguf_conversion, installed, tokenizer, weight_files
from harness.models.head import Head
from harness.run import run
from harness.store.attempt_folder import AttemptFolder
from methods import registry as methods
from tasks import registry as tasks

pytest.importorskip("gguf", reason="the package gguf is not installed")
from tests.harness.models import tiny_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, and convert in this process: a new one would import torch for each file."""
    monkeypatch.setenv(gguf_cache.CACHE, str(tmp_path / "cache"))

    def convert(file: Path, folder: Path) -> dict[str, Any]:
        try:
            return json.loads(json.dumps(gguf_conversion.convert(file, folder)))
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from error

    monkeypatch.setattr(gguf_cache, "_run", convert)
    return tmp_path / "cache" / "deltabench" / "gguf"


def any_model(path: Path, **changes: Any) -> ModelConfig:
    return weight_files.resolve(ModelConfig("any", "auto", source="hub", location="OWNER/NAME", path=str(path),
                                            objective="auto", **changes))  # fmt: skip


def test_the_weights_and_the_tokenizer_are_those_of_the_file(tmp_path: Path) -> None:
    made = tiny_gguf.write(tmp_path / "tiny.gguf")
    config = any_model(tmp_path / "tiny.gguf")
    assert (config.family, config.objective, config.name) == ("llama", "causal", "tiny.gguf")
    loaded = backbone.load(config, Head("causal_lm"), seed=0)
    ids = torch.arange(3, 40)[None]
    torch.testing.assert_close(loaded(input_ids=ids).logits, made(input_ids=ids).logits)
    words = tokenizer.load(config)
    [row], _ = words.inputs(["año £5"], 64)
    assert words.decode([row]) == ["año £5"]
    assert words.eos == 2


def test_a_cell_of_quantised_weights_says_so_in_its_record(tmp_path: Path) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf", quantised=True)
    config, task = (
        any_model(tmp_path / "tiny.gguf"),
        TaskConfig("micro/sentiment", train_size=8, validation_size=4, test_size=4, max_target_tokens=12),
    )
    recipe = RecipeConfig(steps=2, evaluate_every=2, batch_size=2)
    cell = Cell(MethodConfig("lora", methods.resolve("lora", {})), config, tasks.resolve(task), "causal", recipe, 0)
    record = run(cell, Runtime(device="cpu"), AttemptFolder(tmp_path))
    assert record["notes"]["weights"] == "dequantised to fp32 from tiny.gguf (15 in Q8_0, 5 in F32)"


def test_a_file_is_converted_once_and_another_file_anew(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_gguf.write(tmp_path / "a.gguf")
    first = gguf_cache.folder(tmp_path / "a.gguf")
    (tmp_path / "a.gguf").rename(tmp_path / "b.gguf")
    monkeypatch.setattr(gguf_cache, "_run", _never)
    assert gguf_cache.folder(tmp_path / "b.gguf") == first
    assert [path.name for path in cache.iterdir()] == [first.name]
    tiny_gguf.write(tmp_path / "a.gguf", quantised=True)
    with pytest.raises(AssertionError, match="converted again"):
        gguf_cache.folder(tmp_path / "a.gguf")
    assert [path.name for path in cache.iterdir()] == [first.name]


def _never(file: Path, folder: Path) -> dict[str, Any]:
    raise AssertionError("converted again")


def test_the_revision_is_that_of_the_file_and_not_of_what_a_library_makes_of_it(tmp_path: Path) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    config = any_model(tmp_path / "tiny.gguf")
    there = gguf_cache.folder(tmp_path / "tiny.gguf")
    assert config.revision == digest.of_file(tmp_path / "tiny.gguf") == there.name
    content = json.loads((there / "config.json").read_text())
    assert any_model(tmp_path / "tiny.gguf").revision == config.revision
    assert weight_files.resolve(ModelConfig("x", "llama", source="folder", path=str(there))).revision == config.revision
    assert "quantization_config" not in content


def test_a_folder_that_is_half_written_is_made_anew(tmp_path: Path) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    there = gguf_cache.folder(tmp_path / "tiny.gguf")
    whole = (there / "model.safetensors").read_bytes()
    (there / "model.safetensors").write_bytes(whole[:100])
    assert weight_files.unconverted(ModelConfig("x", "llama", source="folder", path=str(tmp_path / "tiny.gguf")))
    assert gguf_cache.folder(tmp_path / "tiny.gguf") == there
    assert (there / "model.safetensors").read_bytes() == whole
    (there / gguf_cache.MANIFEST).write_text("{")
    gguf_cache.folder(tmp_path / "tiny.gguf")
    assert gguf_cache.is_whole(there)


def test_of_two_processes_the_first_ones_result_counts(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    alone, calls = gguf_cache._run, list[Path]()

    def beside_another(file: Path, folder: Path) -> dict[str, Any]:
        calls.append(folder)
        if len(calls) == 1:
            gguf_cache.folder(file)  # another process begins and ends meanwhile
        return alone(file, folder)

    monkeypatch.setattr(gguf_cache, "_run", beside_another)
    there = gguf_cache.folder(tmp_path / "tiny.gguf")
    assert len(set(calls)) == 2
    assert [path.name for path in cache.iterdir()] == [there.name]
    assert gguf_cache.is_whole(there)


def test_a_conversion_that_ends_early_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf", architecture="unheard")
    with pytest.raises(UsageError, match="transformers does not read this GGUF file") as caught:
        gguf_cache.folder(tmp_path / "tiny.gguf")
    assert len(str(caught.value).splitlines()) == 1
    assert list(cache.iterdir()) == []


def test_what_killed_processes_left_is_removed(tmp_path: Path, cache: Path) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    for name, age in (("old", 2 * gguf_cache.ABANDONED_S), ("new", 0)):
        (cache / f".converting-{name}").mkdir(parents=True)
        os.utime(cache / f".converting-{name}", (time.time() - age,) * 2)
    gguf_cache.folder(tmp_path / "tiny.gguf")
    assert sorted(path.name for path in cache.glob(".*")) == [".converting-new"]


@pytest.mark.parametrize(
    ("size", "said"),
    [(3, "this is no GGUF file"), (200, "this is not a whole GGUF file"), (-64, "not a whole GGUF file")],
)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, size: int, said: str) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UsageError, match=said) as caught:
        any_model(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_the_package_that_reads_the_format_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(gguf_cache.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'needs the package gguf: pip install "deltabench\[smollm\]"'):
        any_model(tmp_path / "tiny.gguf")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(gguf_cache.CACHE, str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"the cache .* cannot be written \(Not a directory\). Name another"):
        any_model(tmp_path / "tiny.gguf")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that holds a GGUF file."""
    place = tmp_path / "site" / "weights_in_gguf"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise ImportError('it is not imported')")
    tiny_gguf.write(place / "tiny.gguf")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    installed.folder.cache_clear()
    return place / "tiny.gguf"


def test_a_package_with_the_file_that_the_yaml_declares_is_read(package: Path) -> None:
    asked = ModelConfig("tiny", "llama", source="package", location="weights_in_gguf", hub="someone/tiny@" + 40 * "a")
    assert weight_files.unconverted(asked) == package
    settled = weight_files.resolve(asked)
    assert (settled.source, settled.revision) == ("package", digest.of_file(package))
    assert weight_files.resolve(settled) == settled
    assert weight_files.unconverted(asked) is None
    weight_files.verify(settled)


def test_what_a_yaml_declares_of_a_package_needs_no_conversion(package: Path) -> None:
    """`status` asks which cells there are, and converting takes half a minute."""
    asked = ModelConfig(
        "tiny", "llama", source="package", location="weights_in_gguf", architecture={"vocab_size": 8},
        revision=digest.of_file(package),
    )  # fmt: skip
    assert weight_files.resolve(asked) == asked
    assert weight_files.unconverted(asked) == package
    with pytest.raises(UsageError, match="holds another file than the YAML declares"):
        weight_files.resolve(replace(asked, revision="0" * 16))


def test_a_package_with_another_file_is_refused(package: Path) -> None:
    asked = ModelConfig("tiny", "llama", source="package", location="weights_in_gguf", revision=16 * "0")
    with pytest.raises(UsageError, match=r"the package weights-in-gguf holds another file .*, not 0{16}"):
        weight_files.resolve(asked)


def test_a_folder_of_ones_own_takes_no_notice_of_the_declared_file(package: Path) -> None:
    asked = ModelConfig(
        "tiny", "llama", source="package", location="weights_in_gguf", revision=16 * "0", path=str(package)
    )
    assert weight_files.resolve(asked).revision == digest.of_file(package)


def test_random_weights_of_a_declared_architecture_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_cache, "folder", _never)
    sizes = {
        "vocab_size": 600,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    asked = ModelConfig("tiny", "llama", source="package", location="json", hub="someone/tiny@" + 40 * "a",
                        architecture=sizes, weights="random", objective="causal", revision=16 * "0")  # fmt: skip
    settled = weight_files.resolve(asked)
    assert settled.revision == digest.of_plan(settled, None)
    assert backbone.outline(settled, Head("causal_lm")).config.hidden_size == 32


@pytest.mark.slow
def test_the_conversion_runs_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(gguf_cache.CACHE, str(tmp_path / "cache"))
    tiny_gguf.write(tmp_path / "tiny.gguf")
    there = gguf_cache.folder(tmp_path / "tiny.gguf")
    assert gguf_cache.is_whole(there)
    tiny_gguf.write(tmp_path / "odd.gguf", architecture="unheard")
    with pytest.raises(UsageError, match=r"odd\.gguf: transformers does not read this GGUF file"):
        gguf_cache.folder(tmp_path / "odd.gguf")
