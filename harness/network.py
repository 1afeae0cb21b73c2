"""Whether the Hugging Face Hub may be requested, and whether it answers. Torch is not imported.

huggingface_hub and datasets try six times, for 24 seconds, before they report that there is no network. So the Hub gets
one short request before the first of theirs, and the answer is remembered. Without an answer the caches are read alone.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TIMEOUT_S = 5.0
AGAIN_S = 300.0
"""Seconds after which the Hub is requested again."""


@dataclass
class _State:
    """What is known of the Hub. at: when it was requested (monotonic seconds). reason: why it gave no answer."""

    forbidden: bool = False
    at: float | None = None
    reason: str = ""


_state = _State()


@contextmanager
def forbidden() -> Iterator[None]:
    """Request nothing in this block; for commands that read only what is on this machine."""
    before, _state.forbidden = _state.forbidden, True
    try:
        yield
    finally:
        _state.forbidden = before


def obstacle() -> str:
    """Return why the Hub is not requested, as a part of a sentence; "" where it may be requested and answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids fetching"
    if _state.forbidden:
        return "this command fetches nothing (`deltabench run` does)"
    if _state.at is None or time.monotonic() - _state.at >= AGAIN_S:
        failed(_request(constants.ENDPOINT))
    return _state.reason


def failed(reason: str) -> None:
    """Remember that the Hub gave no answer, for this reason; "" for an answer."""
    _state.at, _state.reason = time.monotonic(), reason


@contextmanager
def cache_alone() -> Iterator[None]:
    """Make huggingface_hub, and datasets where it is loaded, read their caches alone in this block."""
    from huggingface_hub import constants

    datasets = sys.modules.get("datasets")
    switches = [constants, *([datasets.config] if datasets else [])]
    before = [module.HF_HUB_OFFLINE for module in switches]
    try:
        for module in switches:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for module, value in zip(switches, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _request(site: str) -> str:
    """Return why a site gives no answer; "" where it gives one of any kind."""
    from huggingface_hub.utils import get_session

    try:
        get_session().head(site, timeout=TIMEOUT_S)
    except Exception as error:  # the kind depends on the library and on what is between: no name, no route, a proxy
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"{site} does not answer ({reason:.150})"
    return ""
