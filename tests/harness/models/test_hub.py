"""The Hub is asked for nothing that is not needed, and each of its refusals is one sentence. No network, no torch."""

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import constants, errors

from harness import assets, network
from harness.cli import dispatch
from harness.config.building import build
from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.models import digest, hub, weight_files

COMMIT = "0123456789" * 4


def refused(kind: type[Exception]) -> Exception:
    """One of huggingface_hub's errors without the reply it is usually made of."""
    error = kind.__new__(kind)
    error.args = ("no",)
    return error


REFUSALS = {
    "gated": (refused(errors.GatedRepoError), r"licence at https://huggingface\.co/a/b .*hf auth login"),
    "revision": (refused(errors.RevisionNotFoundError), r"no revision v9.*/a/b/commits/main"),
    "unknown": (refused(errors.RepositoryNotFoundError), r"no model a/b on the Hub.*model\.location"),
    "bad id": (errors.HFValidationError("no"), r"model\.location=a/b: this is not an id of the Hub"),
    "offline": (errors.LocalEntryNotFoundError("no"), r"not whole in the cache, and"),
    "network": (ConnectionError("name or service\nnot known"), r"could not be read from the Hub \(ConnectionError"),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit.cache_clear()
    hub.download.cache_clear()
    monkeypatch.setattr(network, "_state", network._State(at=time.monotonic()))  # it has answered


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Makes the Hub answer, or refuse with an error; what it was asked to download is returned."""

    def set_up(
        files: list[str] | None = None, refuse: Exception | None = None, folder: str = ""
    ) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def reply(value: Any) -> Callable[..., Any]:
            def answer(*_: Any, **settings: Any) -> Any:
                if refuse:
                    raise refuse
                asked.append(settings)
                return value

            return answer

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", reply(type("Info", (), {"sha": COMMIT})))
        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", reply(files))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", reply(folder))
        return asked

    return set_up


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_one_sentence_with_the_next_step(kind: str, answers: Callable[..., Any]) -> None:
    error, said = REFUSALS[kind]
    answers(refuse=error)
    for ask in (lambda: hub.commit("a/b", "v9"), lambda: hub.download("a/b", "v9", weights=True)):
        with pytest.raises(UsageError, match=said) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "model.path=FOLDER" in str(caught.value) or kind == "revision"


def test_only_the_first_kind_of_tensors_is_fetched(answers: Callable[..., Any]) -> None:
    asked = answers(["config.json", "pytorch_model.bin", "model.safetensors", "original/consolidated.pth"])
    hub.download("a/b", COMMIT, weights=True)
    assert "*.safetensors" in asked[-1]["allow_patterns"]
    assert not [pattern for pattern in asked[-1]["allow_patterns"] if "bin" in pattern]
    asked = answers(["config.json", "pytorch_model-00001-of-00002.bin"])
    hub.download("a/old", COMMIT, weights=True)
    assert "pytorch_model*.bin" in asked[-1]["allow_patterns"]
    hub.download("a/old", COMMIT, weights=False)
    assert not [pattern for pattern in asked[-1]["allow_patterns"] if "bin" in pattern or "safetensors" in pattern]


def test_a_branch_is_resolved_to_a_commit_and_offline_from_the_cache(
    answers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers()
    assert hub.commit("a/b", None) == COMMIT
    hub.commit.cache_clear()
    answers(refuse=AssertionError("offline means offline"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        hub.commit("a/b", None)
    refs = tmp_path / "models--a--b" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("f" * 40)
    assert hub.commit("a/b", None) == "f" * 40


YAML = sorted((assets.conf() / "model").glob("*.yaml"))
HUB = {path.stem: values for path in YAML if "architecture" in (values := yaml.safe_load(path.read_text()))}


def config(name: str, **changes: Any) -> ModelConfig:
    return build(ModelConfig, {**HUB[name], **changes}, "model")


@pytest.mark.parametrize("name", HUB)
def test_a_shipped_model_names_its_architecture_and_asks_the_hub_for_nothing(
    name: str, answers: Callable[..., Any]
) -> None:
    """With random weights, or where its commit is pinned; the others say in their head that they are not."""
    answers(refuse=AssertionError("asked the Hub"))
    bare = weight_files.resolve(config(name, weights="random"))
    assert len(bare.revision) == 16
    assert weight_files.resolve(bare) == bare
    assert weight_files.tokenizer_folder(bare) is None
    head = next(path for path in YAML if path.stem == name).read_text()
    if config(name).source == "package":  # its revision is that of the package's file
        assert config(name).hub.partition("@")[2] in head
    elif config(name).revision:
        assert weight_files.resolve(config(name)).revision == config(name).revision
        assert len(config(name).revision) == 40
    else:
        assert "Revision: none verified" in head


def test_architectures_differ_and_their_digest_tells() -> None:
    assert len(HUB) > 40
    digests = {weight_files.resolve(config(name, weights="random")).revision for name in HUB}
    plans = {json.dumps([HUB[name]["family"], HUB[name]["architecture"]], sort_keys=True) for name in HUB}
    assert len(digests) == len(plans)


def test_a_local_copy_is_known_by_its_content_whatever_the_yaml_pins(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    held = weight_files.resolve(config("t5-base", path=str(tmp_path), weights="random"))
    assert held.revision != config("t5-base").revision
    assert weight_files.resolve(held) == held


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer": "nowhere", "weights": "random"}, r"model\.tokenizer=nowhere: it must be bytes, or a folder"),
        ({"tokenizer": "bytes"}, r"come with their own tokenizer"),
        ({"architecture": "no"}, r"model\.architecture=no: it must be names with values"),
    ],
)
def test_a_tokenizer_or_architecture_that_cannot_be_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        weight_files.resolve(config("t5-base", **changes))


def test_a_download_that_stopped_half_way_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"names model-00002-of-00002\.safetensors, which is not there"):
        digest.shards(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight')
    with pytest.raises(UsageError, match="no index of safetensors files"):
        digest.shards(tmp_path)


def test_a_cut_off_torch_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", "x" * 100)
    assert digest.shards(tmp_path) == [file]
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UsageError, match="not a whole torch file"):
        digest.shards(tmp_path)


def test_a_gated_model_costs_exit_2_and_writes_nothing(
    answers: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(refuse=REFUSALS["gated"][0])
    asked = ["run", "model=llama2-7b", "model.revision=main", "task=micro/sentiment", f"store={tmp_path / 'store'}"]
    assert dispatch.main(asked) == 2
    assert "is gated" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("plan", "family", "objective"),
    [
        (
            {"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]},
            "t5",
            "seq2seq",
        ),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "gpt2", "causal"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "llama", "causal"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "bert", "classifier"),
        ({"model_type": "bert"}, "bert", "classifier"),
    ],
)
def test_any_model_is_known_by_its_place(
    plan: dict[str, Any], family: str, objective: str, tmp_path: Path, answers: Callable[..., Any]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(plan))
    (folder / "tokenizer.json").write_text("{}")
    [cell] = grid.expand([{"model": "any", "model.path": str(folder), "model.weights": "random"}])
    assert (cell.model.name, cell.model.family, cell.objective) == ("mine", family, objective)
    answers(["config.json"], folder=str(folder))
    [cell] = grid.expand([{"model": "any", "model.location": "someone/tiny"}])
    assert (cell.model.name, cell.model.family, cell.objective) == ("tiny", family, objective)
    assert (cell.model.source, cell.model.revision) == ("hub", COMMIT)


def test_any_model_needs_a_place() -> None:
    with pytest.raises(UsageError, match=r"model\.location: name a model of the Hub"):
        grid.expand([{"model": "any"}])
