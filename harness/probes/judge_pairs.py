"""The share of a finished cell's answers that a judge model prefers to the reference answers, asked in both orders.

It works as `judge`. Against another cell's answers: `deltabench judge KEY OTHER`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.probes.judging import chat_client, grading

if TYPE_CHECKING:
    from harness.config.schema import Runtime
    from harness.probes.judging.answers import StoredAnswers


def check() -> None:
    """Raise UsageError where the environment names no judge."""
    chat_client.from_environment()


def read(stored: "StoredAnswers", runtime: "Runtime") -> dict[str, Any]:
    """Return set -> shares of answers that won, tied and lost."""
    return grading.pairs(stored, chat_client.from_environment())


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per set."""
    return [
        f"{name}: of {figures['rows']} pairs {result['model']} gives {figures['won']:.1%} to it, "
        f"{figures['lost']:.1%} to the other, {figures['tied']:.1%} to neither; "
        f"both orders agree in {figures['agreeing']:.1%}"
        + (f"; {figures['unread']} pairs could not be read" if figures["unread"] else "")
        for name, figures in result["sets"].items()
        if figures["rows"]
    ]
