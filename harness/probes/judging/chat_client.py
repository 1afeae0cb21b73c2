"""A judge model behind an OpenAI-compatible chat-completions address. Only the standard library is used.

DELTABENCH_JUDGE_URL     the address before /chat/completions, such as http://localhost:8000/v1
DELTABENCH_JUDGE_MODEL   the model's name there
DELTABENCH_JUDGE_KEY     sent as a bearer token; may be absent where the server needs none
"""

import base64
import http.client
import json
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError

URL, MODEL, KEY = "DELTABENCH_JUDGE_URL", "DELTABENCH_JUDGE_MODEL", "DELTABENCH_JUDGE_KEY"
TRIES = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
TIMEOUT_S = 180.0
MOST_BYTES = 2**22
SHORTEST = 4
"""The number of letters below which a secret could be any word."""
LATER = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses after which a later try may succeed."""
PROMPT = frozenset({400, 413, 422})
"""Statuses that may concern this one prompt (its length, say)."""


class Unreachable(UsageError):
    """The judge does not answer, so the next question would fail as well."""

    unreachable = True


class Refused(UsageError):
    """The judge does not accept this prompt."""


class _Again(Exception):
    """An error after which another try may succeed. wait_s: the seconds that the server asks for."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Stay(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect, so that the key goes to no other server."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """The address and the name of a judge; the key is never shown."""

    url: str
    model: str
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Return the server's name."""
        return urllib.parse.urlsplit(self.url).netloc.rpartition("@")[2]

    def _hidden(self, text: str) -> str:
        """Return a text without our secrets: a server may echo its input, and its answers are stored."""
        query = urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query)
        for secret in sorted({self.key, *(value for _, value in query)}, key=len, reverse=True):
            for form in (secret, urllib.parse.quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                text = text.replace(form, "***") if len(secret) >= SHORTEST else text
        return text

    def ask(self, prompt: str) -> str:
        """Return the reply to one message, at temperature 0.

        Raises Refused for a prompt that the judge does not accept, and Unreachable after TRIES tries.
        """
        wait, plain = FIRST_WAIT_S, False
        for remaining in reversed(range(TRIES)):
            try:
                return self._post(prompt, plain)
            except Refused as error:
                if plain or "temperature" not in str(error):
                    raise
                plain = True  # some models accept only their own temperature
            except _Again as error:
                if not remaining:
                    raise Unreachable(
                        f"the judge at {self.host} does not answer ({error}), after {TRIES} tries: the same command "
                        "resumes from here when it does."
                    ) from None
                time.sleep(min(LONGEST_WAIT_S, max(wait * random.uniform(0.5, 1.0), error.wait_s)))
                wait *= 2
        raise Unreachable(f"the judge at {self.host} does not accept its questions.")

    def _post(self, prompt: str, plain: bool) -> str:
        content: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        content |= {} if plain else {"temperature": 0}
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        request = urllib.request.Request(self.url, json.dumps(content).encode(), headers, method="POST")
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT_S) as answer:
                return self._hidden(_text(answer.read(MOST_BYTES)))
        except urllib.error.HTTPError as error:
            raise self._status(error) from None
        except (OSError, http.client.HTTPException) as error:  # refused, reset, timed out, no such host, cut short
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
            raise _Again(self._hidden(reason)[:200]) from None

    def _status(self, error: urllib.error.HTTPError) -> Exception:
        with error:
            reason = f"status {error.code}: {self._hidden(_reason(error))[:200]}".rstrip(": ")
        if error.code in LATER:
            return _Again(reason, _seconds(error.headers.get("Retry-After")))
        if error.code in PROMPT:
            return Refused(reason)
        hint = f"check {KEY}" if error.code in (401, 403) else f"check {URL} and {MODEL}"
        return Unreachable(f"the judge at {self.host} refuses ({reason}): {hint}.")


def from_environment(environment: Mapping[str, str] | None = None) -> Endpoint:
    """Return the judge that the environment names.

    Raises UsageError where the address or the model is absent or invalid.
    """
    variables = os.environ if environment is None else environment
    missing = [name for name in (URL, MODEL) if not variables.get(name, "").strip()]
    if missing:
        raise UsageError(
            f"a judge needs {' and '.join(missing)} in the environment: the address of an OpenAI-compatible server, "
            f"such as http://localhost:8000/v1, and a model's name there ({KEY} if it wants a key)."
        )
    url, model, key = (variables.get(name, "").strip() for name in (URL, MODEL, KEY))
    if any(not letter.isascii() or not letter.isprintable() for letter in key):
        raise UsageError(f"{KEY} holds a character that no key can hold (a line's end, say); set it again.")
    return Endpoint(_address(url), model, key)


def _address(url: str) -> str:
    """Return the address of chat completions. Raises UsageError for a malformed one."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        good = good and (parts.port is None or parts.port > 0) and not any(letter.isspace() for letter in url)
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"{URL}={_public(url)}: it must be an address such as https://HOST/v1, without a user's name in it."
        )
    base = parts.path.rstrip("/")
    path = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _public(url: str) -> str:
    """Return an address without possible secrets: the part before the host, and the query."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    return f"{scheme}{slashes}{rest.partition('?')[0].rpartition('@')[2]}"


def _text(body: bytes) -> str:
    """Return the first choice's text; "" for an empty reply."""
    try:
        return str(json.loads(body)["choices"][0]["message"].get("content") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _Again("its answer is no chat completion") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the body's error message in one short line."""
    try:
        text = error.read(2000).decode("utf-8", errors="replace")
        message = json.loads(text).get("error")
        text = str(message.get("message") if isinstance(message, dict) else message)
    except (OSError, http.client.HTTPException, ValueError, AttributeError, RecursionError):
        text = str(error.reason or "")
    return " ".join(text.split())


def _seconds(header: str | None) -> float:
    """Return Retry-After in seconds; 0 for a date or any other text, since then our own pace applies."""
    return float(header) if header and header.strip().isdecimal() else 0.0
