"""`push` and `pull`: what a cell trained goes to a folder with its card, comes back the same, and the Hub's no is one
sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from harness.cli import dispatch
from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.run import run
from harness.sharing import forms, model_card, transfer
from harness.store import identity
from harness.store.store import Store

SMALL = {
    "recipe.steps": 4, "recipe.evaluate_every": 2, "task.train_size": 64, "task.validation_size": 32,
    "task.test_size": 32,
}  # fmt: skip
SIZES = [f"{name}={value}" for name, value in SMALL.items()]
Finish = Callable[[str], str]
SAID = {
    "numbers": "holds values that are not finite: the file is not usable",
    "rows": "task.test_size",
    "no card": "this is no pushed delta: there is no card.json in it.",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def finish(store: Store) -> Finish:
    done: dict[str, str] = {}

    def do(method: str) -> str:
        if method not in done:
            (cell,) = grid.expand([{"task": "micro/sentiment", "model": "micro-t5-nano", "method": method, **SMALL}])
            folder = store.begin(cell)
            result = run(cell, Runtime(store=str(store.path), device="cpu"), folder)
            key = done[method] = identity.key(cell)
            record = {"schema": 1, "cell": identity.to_json(cell), "attempt": folder.number, "key": key, **result}
            store.finish(key, folder, record)
        return done[method]

    return do


def _push(store: Store, key: str, to: str, *words: str) -> int:
    return dispatch.main(["push", key[:12], "--to", to, f"store={store.path}", *words])


@pytest.mark.parametrize(("method", "form"), [("lora", "peft"), ("bitfit", "deltabench")])
def test_there_and_back(
    method: str, form: str, store: Store, finish: Finish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = finish(method)
    assert _push(store, key, str(tmp_path / "pushed")) == 0
    names = {path.name for path in (tmp_path / "pushed").iterdir()}
    assert names == {"card.json", "README.md", *forms.FILES[form]}
    assert dispatch.main(["pull", str(tmp_path / "pushed"), "--to", str(tmp_path / "pulled")]) == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "pushed").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "pulled").iterdir()
    }
    folder = tmp_path / "pulled"
    if form == "peft":
        words = [f"--to={tmp_path / 'ours'}", "model=micro-t5-nano"]
        assert dispatch.main(["delta", "import", str(folder), *words]) == 0
        folder = tmp_path / "ours"
    capsys.readouterr()
    assert dispatch.main(["delta", "score", str(folder), "--json", "device=cpu"]) == 0
    told, card = json.loads(capsys.readouterr().out)["scores"]["test"], model_card.read(tmp_path / "pulled")
    assert told["n"] == card["scores"]["test"]["n"] == SMALL["task.test_size"]
    assert told["accuracy"] == pytest.approx(card["scores"]["test"]["accuracy"], abs=1e-6)


def test_the_card_tells_method_task_score_parent_and_licence_and_nothing_of_this_machine(
    store: Store, finish: Finish, tmp_path: Path
) -> None:
    key = finish("lora")
    assert _push(store, key, str(tmp_path / "a"), "--license", "cc-by-4.0") == 0
    text = (tmp_path / "a" / model_card.README).read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    known = yaml.safe_load(header)
    assert (known["license"], known["library_name"]) == ("cc-by-4.0", "peft")
    record = store.read(key)
    assert record is not None
    test = record["scores"]["best"]["sets"]["test"]["accuracy"]
    assert test in [one["metrics"][0]["value"] for one in known["model-index"][0]["results"]]
    for told in ("lora", "micro-t5-nano", "micro/sentiment", key, "deltabench run", "cc-by-4.0"):
        assert told in body
    for path in (tmp_path / "a").glob("*.*"):
        assert str(store.path).encode() not in path.read_bytes()
        assert str(Path.home()).encode() not in path.read_bytes()


@pytest.mark.parametrize("spoil", ["card", "tensors", "form", "pickle", "numbers", "rows", "no card"])
def test_what_is_not_whole_is_refused_and_nothing_is_left(
    spoil: str, store: Store, finish: Finish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _push(store, finish("bitfit"), str(tmp_path / "a"))
    if spoil == "card":
        (tmp_path / "a" / model_card.CARD).write_text("[1, 2]")
    if spoil == "tensors":
        (tmp_path / "a" / "delta.safetensors").write_bytes(b"\x80\x04")
    if spoil == "form":
        content = json.loads((tmp_path / "a" / model_card.CARD).read_text())
        (tmp_path / "a" / model_card.CARD).write_text(json.dumps({**content, "form": "../../etc"}))
    if spoil == "pickle":
        (tmp_path / "a" / "delta.safetensors").rename(tmp_path / "a" / "delta.bin")
    if spoil == "numbers":
        state = load_file(tmp_path / "a" / "delta.safetensors")
        save_file({name: x * float("nan") for name, x in state.items()}, tmp_path / "a" / "delta.safetensors")
    if spoil == "rows":
        content = json.loads((tmp_path / "a" / model_card.CARD).read_text())
        content["rows"]["fields"]["test_size"] = "many"
        (tmp_path / "a" / model_card.CARD).write_text(json.dumps(content))
    if spoil == "no card":
        (tmp_path / "a" / model_card.CARD).unlink()
    capsys.readouterr()
    assert dispatch.main(["pull", str(tmp_path / "a"), "--to", str(tmp_path / "b")]) == 2
    told = capsys.readouterr().err
    assert SAID.get(spoil, "") in told
    assert "Error(" not in told, "no exception as Python writes it"
    assert told.count("\n") == 1
    assert "Traceback" not in told
    assert not (tmp_path / "b").exists()


def test_a_place_is_a_folder_or_a_repository_and_never_a_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert transfer.place("someone/delta") == "someone/delta"
    assert transfer.place("hf://results/delta") == "results/delta"
    assert transfer.place("./results/delta") == Path("results/delta")
    assert transfer.place("delta") == Path("delta")
    with pytest.raises(UsageError, match="hf://results/delta"):
        transfer.place("results/delta")
    with pytest.raises(UsageError, match="owner/name"):
        transfer.place("hf://../delta")


def test_refusals_are_sentences(
    store: Store, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _push(store, finish("lora"), "someone/nothing") == 2
    assert "HF_HUB_OFFLINE" in capsys.readouterr().err
    assert dispatch.main(["pull", "someone/nothing", "--to", str(tmp_path / "x")]) == 2
    assert "not in the cache" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert _push(store, finish("bitfit"), str(tmp_path / "y"), "--format", "peft") == 2
    assert "bitfit" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()
    assert _push(store, finish("lora"), str(tmp_path / "z"), "--format", "pfet") == 2
    assert "peft" in capsys.readouterr().err


class Api:
    """The Hub as `push` uses it."""

    held: tuple[str, ...] = (".gitattributes",)
    sent: dict[str, Any] | None = None

    def create_repo(self, repo: str, private: bool, exist_ok: bool) -> None:
        Api.sent = {"repo": repo, "private": private}

    def list_repo_files(self, repo: str) -> list[str]:
        return [*self.held]

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert Api.sent is not None
        Api.sent["files"] = sorted(path.name for path in folder_path.iterdir())


def test_to_the_hub(
    store: Store, finish: Finish, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert _push(store, finish("lora"), "someone/mine") == 0
    files = ["README.md", "adapter_config.json", "adapter_model.safetensors", "card.json"]
    assert Api.sent == {"repo": "someone/mine", "private": True, "files": files}
    assert "huggingface.co/someone/mine" in capsys.readouterr().out
    monkeypatch.setattr(Api, "held", ("model.safetensors",))
    assert _push(store, finish("lora"), "someone/mine") == 2
    assert "already has model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["", " "])
def test_a_place_without_a_name_is_refused(
    to: str, store: Store, finish: Finish, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    key = finish("bitfit")
    monkeypatch.chdir(tmp_path)
    assert _push(store, key, to) == 2
    told = capsys.readouterr().err
    assert "names no place; give a folder (./NAME), or a repository of the Hub" in told
    for words in (
        ["pull", to],
        ["pull", to, "--to", "x"],
        ["delta", "score", to],
        ["delta", "import", to, "--to", "x"],
    ):
        assert dispatch.main(words) == 2
        assert "names no place; give a folder (./NAME)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_card_of_a_method_without_fields_has_its_name_alone(store: Store, finish: Finish, tmp_path: Path) -> None:
    assert _push(store, finish("full"), str(tmp_path / "a")) == 0
    assert "| method | full |\n" in (tmp_path / "a" / model_card.README).read_text(encoding="utf-8")


def test_a_card_has_the_size_that_was_solved_for_a_budget(tmp_path: Path) -> None:
    (cell,) = grid.expand([{"task": "micro/sentiment", "model": "micro-t5-nano", "method.budget": "10%", **SMALL}])
    record = {"key": identity.key(cell), "scores": {}, "notes": {"solved_rank": 15}}
    model_card.write(model_card.make(cell, record, "best", "peft", None), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "rank=15, " in text
    assert "budget=0.1 |" in text
    assert "rank=8" not in text
