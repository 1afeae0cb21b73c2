"""Questions to a judge model, and its replies, which are stored so that none is asked twice. Torch is not imported.

A reply is a line of `judgements.jsonl` in the attempt's folder, under a digest of the judge and of the whole prompt. A
reply that cannot be read is requested again, READINGS times in all, and then counts as unread, never as a grade.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness.files import plain_files
from harness.probes.judging.chat_client import Endpoint, Refused
from harness.store.attempt_folder import AttemptFolder

FILE = "judgements.jsonl"
READINGS = 3
AT_ONCE = 4

Value = float | str | None


@dataclass(frozen=True)
class Ask:
    """One question to the judge.

    place: set, id and, of a pair, the order. read: a function reply -> value, or None where it cannot be read.
    """

    place: Mapping[str, str]
    prompt: str
    read: Callable[[str], Value]

    def digest(self, judge: Endpoint) -> str:
        """Return a digest of everything that a judgement depends on: the judge and the prompt. Equal rows share one."""
        text = "\0".join([judge.model, self.prompt])
        return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:24]


def settle(folder: AttemptFolder, judge: Endpoint, asks: Sequence[Ask]) -> dict[str, Value]:
    """Return digest -> value of every question, None where no reply can be read; only missing replies are requested.

    Raises chat_client.Unreachable where the judge does not answer; its replies until then are stored.
    """
    lines, wanted = _kept(folder), {ask.digest(judge): ask for ask in asks}
    lock, stopped = threading.Lock(), threading.Event()

    def put(digest: str) -> None:
        ask = wanted[digest]
        while not stopped.is_set() and _wanting(ask, lines.get(digest, [])):
            row = {**ask.place, **_asked(judge, ask), "digest": digest, "model": judge.model}
            with lock:
                folder.append(FILE, row)
                lines.setdefault(digest, []).append(row)

    pending = [digest for digest, ask in wanted.items() if _wanting(ask, lines.get(digest, []))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            list(pool.map(put, pending))
        except BaseException:  # after Ctrl-C too no further question is asked, and the replies so far are stored
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {digest: _value(ask, lines.get(digest, [])) for digest, ask in wanted.items()}


def _asked(judge: Endpoint, ask: Ask) -> dict[str, Any]:
    """Ask one question and return the row to store."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        reply = judge.ask(ask.prompt)
    except Refused as error:
        return {"reply": None, "error": str(error), "value": None, "asked": now}
    return {"reply": reply, "value": ask.read(reply), "asked": now}


def _kept(folder: AttemptFolder) -> dict[str, list[Mapping[str, Any]]]:
    """Return digest -> the stored rows."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in plain_files.read_lines(folder.path / FILE):
        if isinstance(row.get("digest"), str):
            lines.setdefault(row["digest"], []).append(row)
    return lines


def _value(ask: Ask, lines: Iterable[Mapping[str, Any]]) -> Value:
    """Return the first value that a reply gives; it is read again from the reply itself."""
    values = (ask.read(row["reply"]) for row in lines if isinstance(row.get("reply"), str))
    return next((value for value in values if value is not None), None)


def _wanting(ask: Ask, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a question needs another reply."""
    return len(lines) < READINGS and _value(ask, lines) is None
