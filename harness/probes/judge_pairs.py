"""How often a judge model prefers a finished cell's answers to the reference answers, asked in both orders.

As `judge`; against another cell's answers: `deltabench judge KEY OTHER`.
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
    """Set -> shares of answers that won, tied and lost."""
    return grading.pairs(kept, chat_client.from_environment())


def told(result: Mapping[str, Any]) -> list[str]:
    """A line per set."""
    return [
        f"{name}: of {found['rows']} pairs {result['model']} gives {found['won']:.1%} to it, {found['lost']:.1%} to "
        f"the other, {found['tied']:.1%} to neither; both orders agree in {found['agreeing']:.1%}"
        + (f"; {found['unread']} pairs could not be read" if found["unread"] else "")
        for name, found in result["sets"].items()
        if found["rows"]
    ]
