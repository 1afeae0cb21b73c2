"""Grades from 1 to 10 that a judge model gives to the answers a finished cell kept.

The judge's address and name: judging/chat_client.py. What it is asked: judging/grading.py. A judge that does not
answer leaves a failure; the same command asks for what is left, and nothing is trained again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.probes.judging import chat_client, grading

if TYPE_CHECKING:
    from harness.config.schema import Runtime
    from harness.probes.judging.answers import Kept


def check() -> None:
    """UsageError where the environment names no judge."""
    chat_client.from_environment()


def read(kept: "Kept", runtime: "Runtime") -> dict[str, Any]:
    """Set -> mean grade."""
    return grading.single(kept, chat_client.from_environment())


def told(result: Mapping[str, Any]) -> list[str]:
    """A line per set."""
    return [
        f"{name}: {result['model']} gives {found['grade']:.2f} of 10, mean of {found['rows']} answers"
        + (f"; {found['unread']} replies could not be read" if found["unread"] else "")
        for name, found in result["sets"].items()
        if found["rows"]
    ]
