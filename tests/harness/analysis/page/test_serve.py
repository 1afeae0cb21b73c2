"""The server of the page: this machine alone, GET alone, its own name alone."""

import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.analysis.page import serve
from harness.cli import dispatch
from harness.cli.commands import view
from harness.experiments.grids.grid import expand
from harness.store import lease, requested_grids
from harness.store.requested_grids import Grid, Place
from harness.store.store import Store
from tests.harness import made_runs
from tests.harness.analysis.page.made_pages import fill, put

Answer = tuple[int, dict[str, str], bytes]


class Counter:
    """What a store would say: a line and a version that the test changes."""

    def __init__(self) -> None:
        self.version, self.rendered = "1", 0

    def progress(self) -> dict[str, Any]:
        return {"line": "2 done", "cells": 4, "ended": 2, "failures": [], "version": self.version}

    def render(self, version: str, every: float) -> str:
        self.rendered += 1
        return f"<p>{version} {every}"


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def server(counter: Counter) -> Iterator[serve.Server]:
    made = serve.Server(serve.Pages(counter.progress, counter.render), 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def ask(server: serve.Server, method: str = "GET", path: str = "/", host: str | None = None) -> Answer:
    port = server.server_address[1]
    connection = http.client.HTTPConnection(serve.ADDRESS, port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"{serve.ADDRESS}:{port}"})
    answer = connection.getresponse()
    content = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return content


def test_the_page_and_its_progress_are_answered_without_leave_for_other_origins(server: serve.Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for path, start in (("/", b"<p>1 "), ("/?a=b", b"<p>1 "), ("/progress.json", b'{"line": "2 done"')):
        code, headers, body = ask(server, path=path)
        assert (code, body[: len(start)]) == (200, start)
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["x-content-type-options"] == "nosniff"
    assert ask(server, path="/../../etc/passwd")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_any_other_method_is_refused(server: serve.Server, method: str) -> None:
    code, headers, _ = ask(server, method)
    assert (code, headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1:1"])
def test_another_host_gets_no_data(server: serve.Server, host: str) -> None:
    code, _, body = ask(server, host=host)
    assert code == 403
    assert b"<p>" not in body


def test_the_page_is_made_anew_where_the_results_have_changed(counter: Counter) -> None:
    pages = serve.Pages(counter.progress, counter.render)
    pages.look()
    assert counter.rendered == 1
    counter.version = "2"
    pages.look()
    assert counter.rendered == 2
    assert pages.page.startswith(b"<p>2 ")
    assert json.loads(pages.news)["version"] == "2"


def test_a_look_that_fails_leaves_the_page(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = serve.Pages(counter.progress, counter.render)
    monkeypatch.setattr(serve, "LOOK_S", 0.001)

    def fail() -> dict[str, Any]:
        pages.end()
        raise OSError("gone")

    monkeypatch.setattr(pages, "_progress", fail)
    pages.keep_looking()
    assert json.loads(pages.news)["line"] == "the store cannot be read now: gone"
    assert pages.page.startswith(b"<p>1 ")


def test_what_runs_is_counted_and_failures_are_named(store: Store) -> None:
    fill(store)
    news = view.news(store)
    assert news["line"].startswith("5 done, 1 failed, 0 running")
    assert [failure["status"] for failure in news["failures"]] == ["failed"]
    assert news["version"] == "0 done 1 stale 4 failed 1 attempts 7"


def test_the_failures_that_happened_last_are_named(store: Store) -> None:
    for seed in range(view.MOST_FAILURES + 2):
        made = made_runs.run("lora", "micro/qa", seed, status="failed").record
        key = put(store, {**made, "error": {"type": "E", "message": f"of seed {seed}"}})
        os.utime(store.at(key, "attempts/1/record.json"), (seed, seed))
    reasons = [failure["reason"] for failure in view.news(store)["failures"]]
    assert reasons == [f"of seed {seed}" for seed in range(view.MOST_FAILURES + 1, 1, -1)]


def test_a_second_attempt_that_ends_like_the_first_one_is_news(store: Store) -> None:
    made = made_runs.run("lora", "micro/qa", 0, status="failed").record
    put(store, made)
    before = view.news(store)["version"]
    put(store, made)
    assert view.news(store)["version"] != before


def test_a_server_starts_again_on_its_port_while_earlier_connections_linger(counter: Counter) -> None:
    pages = serve.Pages(counter.progress, counter.render)
    first = serve.Server(pages, 0)
    thread = threading.Thread(target=first.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = first.server_address[1]
    with socket.create_connection((serve.ADDRESS, port)) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {serve.ADDRESS}:{port}\r\n\r\n".encode())
        while client.recv(4096):
            pass  # the server closes first, so the connection lingers on its side
    first.shutdown()
    first.server_close()
    thread.join()
    serve.Server(pages, port).server_close()


def test_what_is_running_is_told_with_what_is_left(store: Store) -> None:
    keys = fill(store)
    [waiting] = expand([{"task": "micro/qa", "model": "micro-t5-nano", "method": "bitfit", "seed": 9}])
    key = store.register(waiting)
    places = tuple(Place(one, "bitfit", "micro-t5-nano", "micro/qa", 200) for one in (*keys, key))
    requested_grids.note(store, Grid("method=bitfit", places))
    held = lease.acquire(store.leases, key)
    assert held is not None
    news = view.news(store)
    held.release()
    assert "5 done, 1 failed, 1 running; " in news["line"]
    assert f"{key[:8]} at step 0 of " in news["line"]
    assert "2 cells left, " in news["line"]
    assert (news["cells"], news["ended"]) == (len(keys) + 1, len(keys))


def test_a_port_in_use_is_a_sentence(
    server: serve.Server, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view.serve, "Pages", lambda *_: server.pages)
    (store.path / "cells").mkdir(parents=True)
    port = server.server_address[1]
    assert dispatch.main(["view", f"store={store.path}", "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"deltabench: --port {port}: another program uses it; name another port, or 0 for any.\n"
    )


@pytest.mark.parametrize("port", ["80", "x", "70000", "-1"])
def test_a_port_is_a_number_that_may_be_used(port: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["view", f"store={store.path}", f"--port={port}"]) == 2
    assert f"--port {port}: it must be a whole number from 1024 to 65535" in capsys.readouterr().err
