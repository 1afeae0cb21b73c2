"""No verb uses the network without need, and where the Hub is out of reach it is requested once."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import network
from harness.cli import dispatch
from harness.cli.commands import doctor
from harness.execution import sweep_plan
from harness.forecast import gpu_hours
from harness.store.store import Store
from tasks.data import data_root
from tests.harness import made_runs

NEEDLESS = {
    "check": ("minilm",),
    "claims": ("--exhibit", "minilm"),
    "completion": ("words", "deltabench run method="),
    "doctor": (),
    "list": ("tasks", "glue"),
    "report": ("--out", "STORE/report.html"),
    "show": ("KEY",),
    "status": ("minilm", "dora-table6", "delta-crossfit"),
    "store": ("export", "STORE/records.parquet"),
    "table": (),
    "why": ("KEY",),
}
"""Verb -> words with which it reads a store, a model or a task whose rows lie on the Hub."""
TRAINS = ("pretrain", "view")
"""They train embedded backbones for minutes, or serve a page until an interruption."""
MORE = (("table", "minilm"), ("list", "fields", "glue/sst2"), ("list", "models"), ("list", "exhibits"))
PLANNED = (("plan", "method=lora", "task=micro/qa"), ("reproduce", "dora-table7", "--dry-run"))
"""Commands of verbs that may use the network, for rows and models that are here."""


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The addresses that a command tries to reach. Nothing is remembered of the Hub, and no cache holds rows."""
    tried: list[str] = []

    def refuse(*address: object, **_: object) -> None:
        tried.append(str(address))
        raise OSError("no network in this test")

    connect = socket.socket.connect

    def local_alone(self: socket.socket, address: object) -> None:
        connect(self, address) if self.family == socket.AF_UNIX else refuse(address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", local_alone)
    monkeypatch.setattr(network, "_state", network._State())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.delenv(data_root.VARIABLE, raising=False)
    monkeypatch.setattr(sweep_plan, "_preflight", lambda *_: {})
    monkeypatch.setattr(doctor, "_isolation", lambda: ("isolation", "ok", "children start"))
    monkeypatch.setattr(gpu_hours, "lines", lambda *_: [])
    return tried


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command on a store with two finished cells."""
    store = Store(tmp_path / "store")
    keys = [made_runs.finish(store, "micro/qa", seed) for seed in (0, 1)]

    def call(*words: str) -> tuple[int, str, str]:
        filled = [word.replace("KEY", keys[0]).replace("STORE", str(tmp_path)) for word in words]
        code = dispatch.main(
            [*filled, *([f"store={store.path}"] if words[0] not in ("claims", "completion", "doctor", "list") else [])]
        )
        return code, *capsys.readouterr()

    return call


def test_a_verb_that_needs_no_network_tries_none(attempts: list[str], run: Callable[..., tuple[int, str, str]]) -> None:
    assert {*NEEDLESS, *TRAINS, *dispatch.FETCHING} == set(dispatch.verbs())
    for words in (*((verb, *words) for verb, words in NEEDLESS.items()), *MORE, *PLANNED):
        code, _, error = run(*words)
        assert "this should not happen" not in error, words
        assert code == 0 or words[0] in ("check", "doctor", "table"), (words, error)
        assert not attempts, words


def test_a_hub_out_of_reach_is_requested_once(attempts: list[str], run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, error = run("plan", "method=lora", "model=minilm", "task=glue/*")
    assert code == 2
    assert "nyu-mll/glue (sst2, train) is not on this machine, and https://huggingface.co does not answer" in error
    assert len(attempts) == 1
    code, _, error = run("plan", "method=lora", "model=any", "model.location=someone/something", "task=trec")
    assert code == 2
    assert "https://huggingface.co does not answer" in error
    assert len(attempts) == 1, "also by later commands of this process, for minutes"


def test_rows_that_are_absent_are_one_line_of_a_status(
    attempts: list[str], run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("status", "delta-crossfit")
    lines = [line for line in out.splitlines() if "crossfit/" in line]
    assert code == 0
    assert len(lines) == 1
    assert "rows that are not on this machine: crossfit/acronym_identification" in lines[0]
    assert "and 156 more" in lines[0]


def test_the_hub_is_requested_again_after_some_minutes(attempts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(network.time, "monotonic", lambda: now[0])
    assert "does not answer" in network.obstacle()
    now[0] += network.AGAIN_S - 1
    assert "does not answer" in network.obstacle()
    assert len(attempts) == 1
    now[0] += 2
    monkeypatch.setattr("huggingface_hub.utils.get_session", lambda: type("", (), {"head": lambda *_, **__: None}))
    assert network.obstacle() == ""
    with network.forbidden():
        assert "fetches nothing" in network.obstacle()


def test_the_caches_are_read_alone_inside_the_block_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with network.cache_alone():
        assert constants.HF_HUB_OFFLINE
        assert datasets.config.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    assert not datasets.config.HF_HUB_OFFLINE
