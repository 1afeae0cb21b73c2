"""Grades from 1 to 10 that a judge model gives to a finished cell's saved answers.

The judge's address and name: judging/chat_client.py. Its questions: judging/grading.py. A judge that does not answer
leaves a failure. The same command then asks the remaining questions, and nothing is trained again.
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
    """Return set -> mean grade."""
    return grading.single(stored, chat_client.from_environment())


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per set."""
    return [
        f"{name}: {result['model']} gives {figures['grade']:.2f} of 10, mean of {figures['rows']} answers"
        + (f"; {figures['unread']} replies could not be read" if figures["unread"] else "")
        for name, figures in result["sets"].items()
        if figures["rows"]
    ]
