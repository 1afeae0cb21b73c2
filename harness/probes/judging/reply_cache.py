"""Questions to a judge model, and its replies: each is kept, and what is kept is not asked again. Torch-free.

A reply is a line of `judgements.jsonl` in the attempt's folder, under a digest of the judge and of all it was told. One
that cannot be read is asked for again, READINGS times in all, and then counts as unread, never as a grade.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness import atomic_files
from harness.probes.judging.chat_client import Endpoint, Refused
from harness.store.attempt_folder import AttemptFolder

FILE = "judgements.jsonl"
READINGS = 3
AT_ONCE = 4

Value = float | str | None


@dataclass(frozen=True)
class Ask:
    """One question to the judge. place: set, id and, of a pair, the order. read: its reply as a value, or None."""

    place: Mapping[str, str]
    prompt: str
    read: Callable[[str], Value]

    def digest(self, judge: Endpoint) -> str:
        """What a judgement depends on: the judge, and all it was told. Two rows alike share one, as they should."""
        text = "\0".join([judge.model, self.prompt])
        return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:24]


def settle(folder: AttemptFolder, judge: Endpoint, asks: Sequence[Ask]) -> dict[str, Value]:
    """Digest -> value of every question, None where no reply can be read; asks for what is not kept yet.

    chat.Unreachable where the judge does not answer: what it said until then is kept.
    """
    lines, wanted = _kept(folder), {ask.digest(judge): ask for ask in asks}
    lock, over = threading.Lock(), threading.Event()

    def put(digest: str) -> None:
        ask = wanted[digest]
        while not over.is_set() and _wanting(ask, lines.get(digest, [])):
            row = {**ask.place, **_asked(judge, ask), "digest": digest, "model": judge.model}
            with lock:
                folder.append(FILE, row)
                lines.setdefault(digest, []).append(row)

    left = [digest for digest, ask in wanted.items() if _wanting(ask, lines.get(digest, []))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            list(pool.map(put, left))
        except BaseException:  # Ctrl-C too: no further question is asked, and what was answered is kept
            over.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {digest: _value(ask, lines.get(digest, [])) for digest, ask in wanted.items()}


def _asked(judge: Endpoint, ask: Ask) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        reply = judge.ask(ask.prompt)
    except Refused as error:
        return {"reply": None, "error": str(error), "value": None, "asked": now}
    return {"reply": reply, "value": ask.read(reply), "asked": now}


def _kept(folder: AttemptFolder) -> dict[str, list[Mapping[str, Any]]]:
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in atomic_files.read_lines(folder.path / FILE):
        if isinstance(row.get("digest"), str):
            lines.setdefault(row["digest"], []).append(row)
    return lines


def _value(ask: Ask, lines: Iterable[Mapping[str, Any]]) -> Value:
    """Read from the replies themselves: a line is what the judge said, not what was made of it."""
    found = (ask.read(row["reply"]) for row in lines if isinstance(row.get("reply"), str))
    return next((value for value in found if value is not None), None)


def _wanting(ask: Ask, lines: Sequence[Mapping[str, Any]]) -> bool:
    return len(lines) < READINGS and _value(ask, lines) is None
