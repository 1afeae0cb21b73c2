"""`deltabench delta`: what a cell trained leaves the store and comes back, the same, in three forms."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

from harness.cli import dispatch
from harness.cli.commands.delta import FORMATS
from harness.config.schema import Runtime
from harness.experiments.grids import grid
from harness.run import run
from harness.sharing import delta_folder
from harness.store import identity
from harness.store.attempt_folder import CHECKPOINTS
from harness.store.store import Store
from harness.training import finished_model

SMALL = {
    "recipe.steps": 6, "recipe.evaluate_every": 3, "task.train_size": 64, "task.validation_size": 32,
    "task.test_size": 32,
}  # fmt: skip
BLOCK = {"task": "micro/sentiment", "model": "micro-t5-nano", **SMALL}
SIZES = [f"{name}={value}" for name, value in SMALL.items()]
Finish = Callable[..., str]
Call = Callable[..., int]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def finish(store: Store) -> Finish:
    """The key of a small finished cell of a method."""
    done: dict[str, str] = {}

    def do(method: str, **more: Any) -> str:
        if method not in done:
            *_, cell = grid.expand([{**BLOCK, "method": method, **more}])
            folder = store.begin(cell)
            result = run(cell, Runtime(store=str(store.path), device="cpu"), folder)
            done[method] = identity.key(cell)
            names = {"cell": identity.to_json(cell), "attempt": folder.number, "key": done[method]}
            store.finish(done[method], folder, {"schema": 1, **names, **result})
        return done[method]

    return do


@pytest.fixture
def delta(store: Store) -> Call:
    def call(*words: str) -> int:
        return dispatch.main(["delta", *words])

    return call


def _export(delta: Call, store: Store, key: str, to: Path, *words: str) -> int:
    return delta("export", key[:12], "--to", str(to), f"store={store.path}", *words)


def _score(delta: Call, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert delta("score", str(folder), "--json", "device=cpu", *SIZES, *words) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt", "bitfit"])
def test_exported_it_scores_as_in_the_record(
    method: str, store: Store, finish: Finish, delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = finish(method)
    record = store.read(key)
    assert record is not None
    for checkpoint in CHECKPOINTS:
        assert _export(delta, store, key, tmp_path / checkpoint, "--checkpoint", checkpoint) == 0
        told = _score(delta, tmp_path / checkpoint, capsys)
        sets = record["scores"][checkpoint]["sets"]
        assert told["scores"] == {name: sets[name] for name in ("validation", "test")}
        assert told["method"] == method
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["delta.safetensors", "method.json"]
    assert str(store.path) not in (tmp_path / "best" / "method.json").read_text()
    assert "accuracy" in _told(delta, capsys, "score", str(tmp_path / "best"), "device=cpu", *SIZES)


def test_it_scores_the_same_in_a_new_process(store: Store, finish: Finish, delta: Call, tmp_path: Path) -> None:
    """What a reparametrised method leaves needs neither the store nor the process that trained it."""
    key = finish("prefix")
    assert _export(delta, store, key, tmp_path / "d") == 0
    words = [sys.executable, "-m", "harness.cli", "delta", "score", "d", "--json", "device=cpu", *SIZES]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(words, cwd=tmp_path, env=around, capture_output=True, text=True, check=True, timeout=300)
    record = store.read(key)
    assert record is not None
    sets = record["scores"]["best"]["sets"]
    assert json.loads(done.stdout)["scores"] == {name: sets[name] for name in ("validation", "test")}


def _told(delta: Call, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert delta(*words) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_to_peft_and_back(
    method: str, store: Store, finish: Finish, delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = finish(method)
    assert _export(delta, store, key, tmp_path / "peft", "--format", "peft") == 0
    back = (
        "import",
        str(tmp_path / "peft"),
        "--to",
        str(tmp_path / "back"),
        "model=micro-t5-nano",
        "task=micro/sentiment",
    )
    assert f"{method} on micro-t5-nano" in _told(delta, capsys, *back)
    assert _export(delta, store, key, tmp_path / "own") == 0
    ours, theirs = (load_file(tmp_path / name / "delta.safetensors") for name in ("own", "back"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    told = [json.loads((tmp_path / name / "method.json").read_text())["method"] for name in ("own", "back")]
    assert told[0] == told[1]


@pytest.mark.parametrize("method", ["lora", "full", "diff_pruning", "soup"])
def test_merged_it_is_a_plain_checkpoint(
    method: str, store: Store, finish: Finish, delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = {f"parents.{role}": finish(role) for role in ("lora", "full", "none")} if method == "soup" else {}
    key = finish(method, **parents)
    assert _export(delta, store, key, tmp_path / "merged", "--format", "merged") == 0
    assert "it/s" not in capsys.readouterr().err, "transformers shows a bar, which is noise in a pipe"
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged").eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(tmp_path / "merged")("review : it is good").input_ids])
    built = finished_model.finished(store, key)
    with torch.no_grad():
        ours, theirs = (model(input_ids=ids, decoder_input_ids=ids[:, :3]).logits for model in (built.model, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not [path.name for path in (tmp_path / "merged").iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def _refused(call: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert call() == 2
    told = capsys.readouterr().err
    assert told.startswith("deltabench: ")
    assert told.count("\n") == 1
    return told


def test_what_cannot_be_exported_is_one_sentence_and_nothing_is_written(
    store: Store, finish: Finish, delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora, prompt, none = finish("lora"), finish("prompt"), finish("none")
    soup = finish("soup", **{"parents.a": lora})
    cases = [
        (prompt, ("--format", "merged"), "method prompt cannot be merged"),
        (finish("bitfit"), ("--format", "peft"), "method bitfit has no export to PEFT"),
        (none, (), "method none trained nothing here"),
        (soup, (), "a delta of soup cannot be exported alone"),
        (lora, ("--format", "pickle"), "'pickle' must be one of deltabench, peft, merged"),
        (lora, ("--checkpoint", "bset"), "'bset' must be one of best, last. Did you mean best"),
        (lora, ("method=lora",), "takes a key and store=DIR"),
        ("0" * 12, (), "no cell starts with 0000"),
    ]
    for key, words, said in cases:
        assert said in _refused(
            lambda key=key, words=words: _export(delta, store, key, tmp_path / "new", *words), capsys
        )
        assert not (tmp_path / "new").exists()
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "mine.txt").write_text("mine")
    for form in ("deltabench", "peft", "merged"):
        told = _refused(lambda form=form: _export(delta, store, lora, tmp_path / "held", "--format", form), capsys)
        assert "this is not an empty folder" in told
    assert [path.name for path in (tmp_path / "held").iterdir()] == ["mine.txt"]
    assert "add --to FOLDER" in _refused(lambda: delta("export", lora, f"store={store.path}"), capsys)
    assert "'exprot' must be one of" in _refused(lambda: delta("exprot", lora), capsys)
    store.counting_file(lora, "delta-last.safetensors").rename(tmp_path / "away")
    told = _refused(lambda: _export(delta, store, lora, tmp_path / "new", "--checkpoint", "last"), capsys)
    (tmp_path / "away").rename(store.counting_file(lora, "delta-last.safetensors"))
    assert "has no stored delta-last.safetensors: run it again with keep=delta" in told


def _edited(folder: Path, **fields: Any) -> None:
    told = json.loads((folder / "method.json").read_text())
    (folder / "method.json").write_text(json.dumps({**told, **fields}))


def _spoilt(folder: Path, change: Callable[[dict[str, torch.Tensor], str], Any]) -> None:
    held = load_file(folder / "delta.safetensors")
    save_file(change(held, next(iter(held))), folder / "delta.safetensors")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "delta.safetensors").write_bytes(b"\x80\x04pickled"), "expected a whole safetensors file"),
        (lambda f: (f / "delta.safetensors").unlink(), "expected a whole safetensors file"),
        (lambda f: _spoilt(f, lambda t, k: t | {k: t[k] * float("nan")}), "values that are not finite"),
        (lambda f: _spoilt(f, lambda t, k: {n: x for n, x in t.items() if n != k}), "lacks 1 of"),
        (lambda f: _spoilt(f, lambda t, k: t | {"elsewhere": t[k].clone()}), "does not train here"),
        (lambda f: (f / "method.json").unlink(), "expected a delta's description"),
        (lambda f: (f / "method.json").rename(f / "adapter_config.json"), "these are PEFT's adapter files"),
        (lambda f: (f / "method.json").write_text("[1]"), "expected a delta's description"),
        (lambda f: _edited(f, format=9), "its format is 9, this version reads 1"),
        (lambda f: _edited(f, method={"name": "lora", "rnk": 3}), "has no field 'rnk'. Did you mean rank"),
        (lambda f: _edited(f, method={"name": "lora", "rank": 3}), "the model's is (3, 64)"),
        (
            lambda f: _edited(f, model={"name": "x", "family": "t5", "revision": "0" * 16, "weights": "pretrained"}),
            "for another backbone, x: revision 0000000000000000 was expected, micro-t5-nano has",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_and_left_alone(
    harm: Callable[[Path], Any],
    said: str,
    store: Store,
    finish: Finish,
    delta: Call,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _export(delta, store, finish("lora"), tmp_path / "d") == 0
    harm(tmp_path / "d")
    held = {path: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert said in _refused(lambda: delta("score", str(tmp_path / "d"), "model=micro-t5-nano", *SIZES), capsys)
    assert {path: path.read_bytes() for path in (tmp_path / "d").iterdir()} == held


def test_an_import_says_what_it_lacks(delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = ("--to", str(tmp_path / "to"))
    assert "add model=NAME" in _refused(lambda: delta("import", str(tmp_path), *to), capsys)
    assert "there is no such folder" in _refused(lambda: delta("import", str(tmp_path / "x"), *to), capsys)
    model = "model=micro-t5-nano"
    assert "expected PEFT's configuration" in _refused(lambda: delta("import", str(tmp_path), *to, model), capsys)
    assert "leave it out" in _refused(lambda: delta("import", str(tmp_path), *to, model, "method=lora"), capsys)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("kind", ["bart", "bert", "distilbert", "gpt2"])
def test_a_merged_checkpoint_has_as_many_labels_as_the_model(kind: str, labels: int, tmp_path: Path) -> None:
    """transformers leaves out its own default of two, and BART's is three."""
    config = AutoConfig.for_model(kind, num_labels=labels)
    config.save_pretrained(tmp_path)
    delta_folder._complete(config, tmp_path / "config.json")
    again = AutoConfig.from_pretrained(tmp_path)
    assert (again.num_labels, again.id2label) == (labels, config.id2label)


@pytest.mark.parametrize("told", [{}, {"model.dtype": "bf16", "recipe.precision": "bf16"}])
def test_a_folder_says_in_which_precision_it_was_trained(told: dict[str, str], tmp_path: Path) -> None:
    """Older ones do not, and were computed as the defaults are."""
    model = dict.fromkeys(delta_folder.BACKBONE, "x")
    content = {"format": 1, "method": {"name": "lora"}, "model": model, "task": "t", "objective": "causal", "seed": 0}
    (tmp_path / "method.json").write_text(json.dumps(content | ({"precision": told | {"code": "x"}} if told else {})))
    assert delta_folder.described(tmp_path).precision == told


def _damage(path: Path) -> bytes:
    """Flip one bit of the last tensor; the header and the size stay. Return the content before."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return content


def test_one_flipped_bit_is_refused_wherever_a_delta_is_read(
    store: Store, finish: Finish, delta: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A delta of the store, and the files of every export that has a delta's tensors."""
    key = finish("lora")
    whole = {form: tmp_path / form for form in ("deltabench", "peft")}
    for form, folder in whole.items():
        assert _export(delta, store, key, folder, "--format", form) == 0
    capsys.readouterr()
    stored = store.counting_file(key, finished_model.delta_file("best"))
    before = _damage(stored)
    for form in FORMATS:
        assert _export(delta, store, key, tmp_path / f"damaged-{form}", "--format", form) == 2
        assert "not those that were written" in capsys.readouterr().err
        assert not (tmp_path / f"damaged-{form}").exists()
    stored.write_bytes(before)
    for folder in whole.values():
        [file] = folder.glob("*.safetensors")
        _damage(file)
    assert delta("score", str(whole["deltabench"]), "device=cpu", *SIZES) == 2
    assert "not those that were written" in capsys.readouterr().err
    words = ("--to", str(tmp_path / "imported"), "model=micro-t5-nano", "task=micro/sentiment")
    assert delta("import", str(whole["peft"]), *words) == 2
    assert "not those that were written" in capsys.readouterr().err
