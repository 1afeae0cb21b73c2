"""A judge is asked what is not kept yet, in both orders, again where that may help, and never in place of training."""

import gzip
import json
import socket
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.execution.sweep_plan import SweepOptions
from harness.probes import registry as probes
from harness.probes.judging import chat_client, grading, reply_cache
from harness.probes.judging.answers import StoredAnswers
from harness.probes.judging.chat_client import Endpoint
from harness.store.attempt_folder import AttemptFolder
from harness.store.store import SCHEMA, Store

ANSWERS = {"0": "red", "1": "blue", "2": "a long way"}
TARGETS = {"0": "red", "1": "green", "2": "short"}


@dataclass
class Stub:
    """A local server of chat completions. reply: prompt -> text. first: statuses that come before any reply."""

    reply: Callable[[str], Any] = lambda prompt: "Rating: [[7]]"
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """Served on a free port of this machine; retries are quick."""
    state, lock = Stub(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.keys.append(self.headers.get("Authorization"))
                state.asked.append(content)
                status, headers = state.first.pop(0) if state.first else (200, {})
            prompt = content["messages"][0]["content"]
            text = (
                state.reply(prompt)
                if status == 200
                else {"error": {"message": f"stub says {status} {headers.get('X-Why', '')}"}}
            )
            body = {"choices": [{"message": {"content": text}}]} if isinstance(text, str) else text
            with suppress(BrokenPipeError):  # of a client that did not wait
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    monkeypatch.setattr(chat_client, "FIRST_WAIT_S", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv(chat_client.URL, state.url)
    monkeypatch.setenv(chat_client.MODEL, "stub-model")
    monkeypatch.setenv(chat_client.KEY, "s3cret-key")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def kept(tmp_path: Path, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> StoredAnswers:
    """Three answers of a finished attempt, whose questions are known."""
    return written(tmp_path / "attempts" / "1", cell(), ANSWERS, monkeypatch)


def written(path: Path, cell: Cell, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> StoredAnswers:
    path.mkdir(parents=True, exist_ok=True)
    rows = [
        {"checkpoint": point, "set": name, "id": row, "prediction": text, "target": TARGETS[row]}
        for point in ("best", "last")
        for name in ("validation", "test")
        for row, text in answers.items()
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (path / "predictions.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    questions = {("test", row): f"question {row} ?" for row in TARGETS}
    monkeypatch.setattr(StoredAnswers, "questions", questions)
    return StoredAnswers("0" * 64, cell, AttemptFolder(path), ("test",))


def endpoint() -> Endpoint:
    return chat_client.from_environment()


def kept_lines(kept: StoredAnswers) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (kept.folder.path / reply_cache.FILE).read_text().splitlines()]


def test_answers_are_graded_and_every_reply_is_kept(stub: Stub, kept: StoredAnswers) -> None:
    stub.reply = lambda prompt: f"Well.\nRating: [[{9 if 'blue' in prompt else 6}]]"
    found = grading.single(kept, endpoint())
    assert found["sets"] == {"test": {"grade": 7.0, "rows": 3, "unread": 0}}
    assert found["model"] == "stub-model"
    assert len(stub.asked) == len(ANSWERS)
    assert {row["reply"][:5] for row in kept_lines(kept)} == {"Well."}
    assert {row["id"] for row in kept_lines(kept)} == set(ANSWERS)
    assert set(stub.keys) == {"Bearer s3cret-key"}
    assert all(content["model"] == "stub-model" for content in stub.asked)
    assert "s3cret" not in (kept.folder.path / reply_cache.FILE).read_text() + repr(endpoint())


def test_what_is_kept_is_not_asked_again(stub: Stub, kept: StoredAnswers) -> None:
    before = grading.single(kept, endpoint())
    asked = len(stub.asked)
    assert grading.single(kept, endpoint()) == before
    assert len(stub.asked) == asked
    lines = (kept.folder.path / reply_cache.FILE).read_text().splitlines(keepends=True)
    (kept.folder.path / reply_cache.FILE).write_text("".join(lines[:2]) + lines[2][:20])  # as a kill leaves it
    assert grading.single(kept, endpoint()) == before
    assert len(stub.asked) == asked + 1
    grading.single(kept, Endpoint(endpoint().url, "another"))
    assert len(stub.asked) == asked + 1 + len(ANSWERS)


def test_a_reply_that_cannot_be_read_is_requested_again_and_then_counts_as_unread(
    stub: Stub, kept: StoredAnswers
) -> None:
    tried: Counter[str] = Counter()

    def reply(prompt: str) -> str:
        tried[prompt] += 1
        if "blue" in prompt:
            return "I would rather not say. [[eleven]] [[11]] [[0]]"
        return "Rating: [[4]]" if tried[prompt] > 1 else ""

    stub.reply = reply
    found = grading.single(kept, endpoint())
    assert found["sets"]["test"] == {"grade": 4.0, "rows": 2, "unread": 1}
    assert sorted(tried.values()) == [2, 2, reply_cache.READINGS]
    assert grading.single(kept, endpoint()) == found
    assert sorted(tried.values()) == [2, 2, reply_cache.READINGS]
    stub.reply = lambda prompt: "never"
    with pytest.raises(grading.Unreadable, match="no reply of the judge other could be read"):
        grading.single(kept, Endpoint(endpoint().url, "other"))


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_judge_is_asked_again(stub: Stub, status: int) -> None:
    stub.first = [(status, {"Retry-After": "0"}), (status, {})]
    assert endpoint().ask("hello") == "Rating: [[7]]"
    assert len(stub.asked) == 3


@pytest.mark.parametrize("body", [b"", b"<html>", {"choices": []}, {"error": "x"}, [1], b'{"choices": [{"message": '])
def test_an_answer_that_is_no_completion_is_asked_for_again(stub: Stub, body: Any) -> None:
    left = [body, body]
    stub.reply = lambda prompt: left.pop() if left else "fine"
    assert endpoint().ask("hello") == "fine"


def test_a_wait_that_the_server_asks_for_is_kept_and_waits_grow(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(chat_client.time, "sleep", waits.append)
    monkeypatch.setattr(chat_client, "FIRST_WAIT_S", 1.0)
    stub.first = [(429, {"Retry-After": "7"}), (429, {"Retry-After": "1e9"}), (503, {}), (503, {}), (503, {})]
    assert endpoint().ask("hello")
    assert waits[0] == 7.0
    assert [low <= wait <= 2 * low for low, wait in zip((1, 2, 4, 8), waits[1:], strict=True)] == [True] * 4
    stub.first = [(429, {"Retry-After": "99999"})]
    assert endpoint().ask("hello")
    assert waits[-1] == chat_client.LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "status 401: stub says 401.*DELTABENCH_JUDGE_KEY"), (404, "DELTABENCH_JUDGE_MODEL"), (302, "status 302")],
)
def test_a_judge_that_says_no_is_not_asked_again(stub: Stub, status: int, told: str) -> None:
    stub.first = [(status, {"Location": "http://127.0.0.1:9/"})]
    with pytest.raises(chat_client.Unreachable, match=told) as error:
        endpoint().ask("hello")
    assert len(stub.asked) == 1
    assert "s3cret" not in str(error.value)


def test_a_prompt_that_is_refused_costs_its_row_alone(stub: Stub, kept: StoredAnswers) -> None:
    stub.first = [(400, {})] * reply_cache.READINGS
    found = grading.single(kept, endpoint())
    assert found["sets"]["test"]["rows"] >= 2
    assert any(row["reply"] is None and "stub says 400" in row["error"] for row in kept_lines(kept))


def test_a_model_that_knows_its_own_temperature_only_is_asked_without_one(stub: Stub) -> None:
    stub.first = [(400, {"X-Why": "temperature"})]
    assert endpoint().ask("hello") == "Rating: [[7]]"
    assert ["temperature" in content for content in stub.asked] == [True, False]
    stub.first = [(400, {})]
    with pytest.raises(chat_client.Refused, match="stub says 400"):
        endpoint().ask("hello")


def test_a_dead_address_leaves_the_answers_and_goes_on_later(
    stub: Stub, kept: StoredAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, before = endpoint().url, (kept.folder.path / "predictions.jsonl.gz").read_bytes()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(chat_client.Unreachable, match=f"127.0.0.1:{port} does not answer.*resumes from here"):
        grading.single(kept, Endpoint(f"http://127.0.0.1:{port}/v1/chat/completions", "stub-model"))
    assert (kept.folder.path / "predictions.jsonl.gz").read_bytes() == before
    assert grading.single(kept, Endpoint(alive, "stub-model"))["sets"]["test"]["rows"] == 3


def test_a_judge_that_never_ends_is_left(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(chat_client, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(chat_client, "TRIES", 2)
    stub.reply = lambda prompt: time.sleep(0.3) or "late"  # type: ignore[func-returns-value]
    with pytest.raises(chat_client.Unreachable, match="timed out"):
        endpoint().ask("hello")


def prefers(*words: str) -> Callable[[str], str]:
    """A judge that prefers an answer with one of these words, whichever place it has; else it calls a tie."""

    def reply(prompt: str) -> str:
        first, second = prompt.split("<answer_b>")
        one, two = (any(f"\n{word}\n" in part for word in words) for part in (first, second))
        return "[[C]]" if one == two else "so\n[[A]]" if one else "so\n[[B]]"

    return reply


def test_a_pair_is_asked_in_both_orders_and_wins_only_where_they_agree(stub: Stub, kept: StoredAnswers) -> None:
    stub.reply = prefers("blue", "short")
    found = grading.pairs(kept, endpoint())["sets"]["test"]
    assert (found["won"], found["lost"], found["tied"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found["agreeing"] == 1.0
    assert found["won_or_half"] == 0.5
    assert len(kept_lines(kept)) == 2 * len(ANSWERS) - 1  # of equal texts both orders are one question
    assert {row["order"] for row in kept_lines(kept)} == {"first", "second"}
    assert grading.pairs(kept, endpoint())["sets"]["test"] == found


def test_a_judge_that_prefers_a_place_decides_nothing(stub: Stub, kept: StoredAnswers) -> None:
    stub.reply = lambda prompt: "[[A]]"
    found = grading.pairs(kept, endpoint())["sets"]["test"]
    assert (found["won"], found["tied"], found["lost"], found["agreeing"]) == (0, 1, 0, 0)


def test_shares_count_what_could_be_read() -> None:
    found = grading.shares([("A", "B"), ("A", "A"), ("B", "A"), ("C", "C"), ("A", "C")], rows=6)
    assert found == {
        "rows": 5, "unread": 1, "won": 0.2, "lost": 0.2, "tied": 0.6, "agreeing": 0.6, "won_or_half": 0.5,
    }  # fmt: skip
    assert grading.shares([], rows=2)["won"] is None


@pytest.mark.parametrize(
    ("reply", "value"),
    [("[[3]] or [[8]]", 8), ("Rating: [[ 7.5 ]]", 7.5), ("[[9/10]]", 9), ("9", None), ("[[12]]", None), ("", None)],
)
def test_ratings_are_read(reply: str, value: float | None) -> None:
    assert grading.rating(reply) == value


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "DELTABENCH_JUDGE_URL and DELTABENCH_JUDGE_MODEL"),
        ({chat_client.URL: "http://h/v1"}, "needs DELTABENCH_JUDGE_MODEL in"),
        ({chat_client.URL: " ", chat_client.MODEL: "m"}, "needs DELTABENCH_JUDGE_URL in"),
        ({chat_client.URL: "localhost:8000", chat_client.MODEL: "m"}, "must be an address"),
        ({chat_client.URL: "ftp://h/v1", chat_client.MODEL: "m"}, "must be an address"),
        ({chat_client.URL: "http://me:secret@h/v1", chat_client.MODEL: "m"}, "must be an address"),
        ({chat_client.URL: "http://h:port/v1", chat_client.MODEL: "m"}, "must be an address"),
        (
            {chat_client.URL: "http://h/v1", chat_client.MODEL: "m", chat_client.KEY: "a\nb"},
            "DELTABENCH_JUDGE_KEY holds",
        ),
    ],
)
def test_an_environment_that_names_no_judge_is_named(settings: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        chat_client.from_environment(settings)
    assert "a\nb" not in str(error.value)


@pytest.mark.parametrize("url", ["https://me:hunter2@host/v1", "https://:hunter2@host/v1", "ftp://host/v1?key=hunter2"])
def test_an_address_that_is_refused_is_told_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        chat_client.from_environment({chat_client.URL: url, chat_client.MODEL: "m"})
    assert "hunter2" not in str(refused.value)
    assert "host/v1" in str(refused.value)


def test_a_query_of_the_address_stays_behind_its_path() -> None:
    found = chat_client.from_environment({chat_client.URL: "http://h/v1/?api-version=2", chat_client.MODEL: "m"})
    assert found.url == "http://h/v1/chat/completions?api-version=2"


@pytest.mark.parametrize("status", [200, 400, 401, 503])
def test_a_server_that_echoes_what_it_was_sent_gives_no_secret_away(
    stub: Stub, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_client, "TRIES", 1)
    secret, other = "sk-SECRET/777", "query-secret"
    echo = f"got Bearer {secret} and {urllib.parse.quote(secret, safe='')} for ?code={other}"
    stub.first, stub.reply = [(status, {"X-Why": echo})], lambda prompt: echo
    judge_there = chat_client.from_environment(
        {chat_client.URL: f"{stub.url}?code={other}", chat_client.MODEL: "m", chat_client.KEY: secret}
    )
    try:
        told = judge_there.ask("hello")
    except UsageError as error:
        told = str(error)
    assert "***" in told
    assert not any(word in told for word in ("SECRET", other))


@pytest.mark.parametrize("url", ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions"])
def test_an_address_may_be_written_as_people_do(url: str) -> None:
    assert (
        chat_client.from_environment({chat_client.URL: url, chat_client.MODEL: "m"}).url
        == "http://h/v1/chat/completions"
    )


def finished(store: Store, one: Cell, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """A finished cell of the store with these answers."""
    key, folder = store.register(one), store.begin(one)
    written(folder.path, one, answers, monkeypatch)
    facts = {"metric": "exact_match", "tests": ["test"]}
    rest = {"scores": {}, "parameters": {"delta": 1}, "error": None, "provenance": {}, "task_facts": facts}
    record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": "done", "cell": {}, **rest}
    from harness.store import identity as cells

    store.finish(key, folder, {**record, "cell": cells.to_json(one)})
    return key


def test_a_probe_keeps_a_failure_and_the_next_command_goes_on(
    stub: Stub, store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    runtime = Runtime(store=str(store.path))
    keys = [finished(store, cell("good", seed), ANSWERS, monkeypatch) for seed in (0, 1)]
    stub.first = [(401, {})] * 8
    assert probes.measure_cells(store, keys, ["judge"], runtime, None) == 2
    assert "refuses" in capsys.readouterr().out
    assert probes.result(store.read(keys[0]) or {}, "judge") is None
    assert store.status(keys[0]) == "done"
    stub.first = []
    assert probes.measure_cells(store, keys, ["judge", "overlap"], runtime, None) == 0
    record = store.read(keys[1]) or {}
    assert record["probes"]["judge"]["sets"]["test"]["grade"] == 7.0
    assert record["probes"]["overlap"]["sets"]["test"]["exact_match"] == pytest.approx(1 / 3)
    told = probes.descriptions(record)
    assert told["judge"] == ["test: stub-model gives 7.00 of 10, mean of 3 answers"]
    assert "exact_match 0.333" in told["overlap"][0]


def test_seeds_that_stand_in_no_table_are_not_judged(
    stub: Stub, store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.execution import sweep

    made = [cell("good", seed) for seed in (0, 200)]
    keys = [finished(store, one, ANSWERS, monkeypatch) for one in made]
    options = SweepOptions(Runtime(store=str(store.path), probe="judge"), unprobed={200})
    assert sweep.run_cells(made, options) == 0
    assert [probes.result(store.read(key) or {}, "judge") is None for key in keys] == [False, True]
    assert len(stub.asked) == len(ANSWERS)
    monkeypatch.delenv(chat_client.URL)
    assert sweep.run_cells(made, options) == 0
    with pytest.raises(UsageError, match=chat_client.URL):  # before the cells that only choose are trained
        sweep.run_cells(made[1:], options)


def test_answers_that_are_no_texts_are_not_judged(
    stub: Stub, store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = finished(store, cell("good"), {"0": [0.1, 0.9]}, monkeypatch)
    found = probes.take(store, key, "judge", Runtime(store=str(store.path)))
    assert found["status"] == "failed"
    assert "not answered by texts" in found["error"]
    assert not stub.asked
    (store.counting_file(key, "predictions.jsonl.gz")).write_bytes(b"no gzip")
    assert "run the cell again" in probes.take(store, key, "judge", Runtime(store=str(store.path)))["error"]


def test_without_a_judge_nothing_is_started(
    store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv(chat_client.URL, raising=False)
    monkeypatch.delenv(chat_client.MODEL, raising=False)
    from harness.execution import sweep

    with pytest.raises(UsageError, match="DELTABENCH_JUDGE_URL"):
        sweep.run_cells([cell("good")], SweepOptions(Runtime(store=str(store.path), probe="judge")))
    assert not store.path.exists()
    key, other = (finished(store, cell("good", seed), ANSWERS, monkeypatch) for seed in (0, 1))
    for verb in (["judge", key[:12]], ["judge", key, other], ["probe", key, "judge"], ["probe", key, "judge_pairs"]):
        assert dispatch.main([*verb, f"store={store.path}"]) == 2
        assert "DELTABENCH_JUDGE_URL and DELTABENCH_JUDGE_MODEL" in capsys.readouterr().err
    assert "probes" not in (store.read(key) or {})


@pytest.mark.parametrize("broken", ["no chat completion", "never a grade"])
def test_a_judge_that_gives_nothing_is_a_failure_and_no_mistake_of_a_person(
    stub: Stub, store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch, capsys: Any, broken: str
) -> None:
    """The exit code is 1, the sentence has a next step, and --json is JSON, of one cell and of two."""
    one, two = (finished(store, cell("good", seed), {**ANSWERS, "1": f"{seed}"}, monkeypatch) for seed in (0, 1))
    if broken == "never a grade":
        stub.reply, step = (lambda prompt: broken), f"Name another model in {chat_client.MODEL}."
    else:
        monkeypatch.setattr(chat_client, "TRIES", 1)
        stub.reply, step = (lambda prompt: {"a": 1}), "the same command resumes from here when it does."
    for keys in ([one], [one, two]):
        assert dispatch.main(["judge", *keys, f"store={store.path}"]) == 1
        assert step in "".join(capsys.readouterr())
        assert dispatch.main(["judge", *keys, f"store={store.path}", "--json"]) == 1
        given = json.loads(capsys.readouterr().out)
        assert given["status"] == "failed"
        assert given["error"].endswith(step)
        assert given.get("against") == (two if len(keys) == 2 else None)


def test_the_verb_grades_and_compares(
    stub: Stub, store: Store, cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    one = finished(store, cell("good", 0), ANSWERS, monkeypatch)
    two = finished(store, cell("good", 1), {**ANSWERS, "1": "green"}, monkeypatch)
    where = f"store={store.path}"
    assert dispatch.main(["judge", one, where]) == 0
    assert "gives 7.00 of 10" in capsys.readouterr().out
    stub.reply = prefers("green")
    assert dispatch.main(["judge", one, two, where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["against"]) == ("done", two)
    assert found["sets"]["test"]["lost"] == pytest.approx(1 / 3)
    stub.first = [(401, {})] * 9
    assert dispatch.main(["judge", two, one, where]) == 1
    assert "refuses" in capsys.readouterr().err
    assert dispatch.main(["judge", one, two, one, where]) == 2
    capsys.readouterr()
    before = len(stub.asked)
    assert dispatch.main(["judge", one, one[:12], where]) == 2
    assert capsys.readouterr().err == (
        f"deltabench: both keys are those of cell {one[:12]}: give one KEY, or another cell's beside it.\n"
    )
    assert len(stub.asked) == before
    assert dispatch.main(["judge", one, "method=lora", where]) == 2
