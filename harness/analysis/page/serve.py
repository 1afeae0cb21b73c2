"""A server of the page on this machine alone, which looks at a store while a sweep runs. Torch-free.

It answers GET alone. A request whose Host is another name than this server's is refused, so no page of another origin
can read through it by a name that it points here, and no header lets another origin read an answer.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ADDRESS = "127.0.0.1"
LOOK_S = 3.0
"""The seconds between two looks at the store."""
Progress = Callable[[], Mapping[str, Any]]
Render = Callable[[str, float], str]


class Pages:
    """The page and the progress, made anew in the background when the store has changed.

    progress: returns what runs, as JSON values with "version", a text that changes with the results. render: returns
    the page of a version, which asks again every so many seconds.
    """

    def __init__(self, progress: Progress, render: Render) -> None:
        self._progress, self._render = progress, render
        self._ended = threading.Event()
        self._version: str | None = None
        self.page, self.news = b"", b"{}"
        self.look()

    def look(self) -> None:
        """Look at the store once; where its results have changed, make the page anew.

        Making it takes seconds, and meanwhile the earlier page is shown beside the new progress.
        """
        news = dict(self._progress())
        wanted = str(news["version"])
        if self._version is not None:
            self.news = json.dumps({**news, "version": self._version}).encode()
        if wanted != self._version:
            self.page = self._render(wanted, LOOK_S).encode("utf-8", errors="replace")
            self._version = wanted
            self.news = json.dumps(news).encode()

    def keep_looking(self) -> None:
        """Look again and again, until `end`. An error of one look is shown as the progress, and the page stays."""
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except Exception as error:  # the store may be in the middle of a change: the next look sees it whole
                line = f"the store cannot be read now: {' '.join(str(error).split())[:200]}"
                nothing = {"cells": 0, "ended": 0, "failures": [], "version": self._version}
                self.news = json.dumps({"line": line, **nothing}).encode()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()


class Server(ThreadingHTTPServer):
    """The server of one page. port: 0 for any free port. Raise OSError where the port is in use."""

    allow_reuse_address = os.name == "posix"
    """Connections of an ended server would keep its port for a minute. Elsewhere this would share a port in use."""
    daemon_threads = True

    def __init__(self, pages: Pages, port: int) -> None:
        self.pages = pages
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "deltabench", ""
    timeout = 20

    def do_GET(self) -> None:
        """Answer with the page, the progress, or 404; 403 where the request names another host."""
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self._answer(403, "text/plain; charset=utf-8", b"This server answers for its own address alone.\n")
        elif self.path.partition("?")[0] == "/":
            self._answer(200, "text/html; charset=utf-8", self.server.pages.page)
        elif self.path.partition("?")[0] == "/progress.json":
            self._answer(200, "application/json", self.server.pages.news)
        else:
            self._answer(404, "text/plain; charset=utf-8", b"There is no such page here.\n")

    def _refuse(self) -> None:
        self._answer(405, "text/plain; charset=utf-8", b"This server answers GET alone.\n", {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse

    def _answer(self, code: int, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        headers = {
            "Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", **(more or {}),
        }  # fmt: skip
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the reader has gone
                self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing: the terminal shows what runs, not each look of a browser."""


def run(server: Server, opened: Callable[[str], Any] | None = None) -> None:
    """Serve until an interruption. opened: gets the address once the server answers."""
    threading.Thread(target=server.pages.keep_looking, daemon=True).start()
    if opened is not None:
        threading.Timer(0.2, opened, (server.url,)).start()
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.pages.end()
        server.server_close()
