"""Exact match, word F1 and ROUGE-L of a finished cell's saved answers.

These figures stand beside the task's own metric, from the same texts; nothing is generated again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.config.schema import Runtime
    from harness.probes.judging.answers import Answer, StoredAnswers

FIGURES = ("exact_match", "token_f1", "rouge_l")


def read(stored: "StoredAnswers", runtime: "Runtime") -> dict[str, Any]:
    """Return set -> figures, and the number of rows that they are the mean of."""
    return {"sets": {name: {**_figures(rows), "n": len(rows)} for name, rows in stored.answers.items()}}


def _figures(rows: "list[Answer]") -> dict[str, float]:
    from tasks.metrics import evaluate_adapter  # imports slowly, and starts threads

    return evaluate_adapter.combined(FIGURES, [row.references for row in rows], [row.text for row in rows])


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per set."""
    return [
        f"{name}: " + ", ".join(f"{figure} {figures[figure]:.3f}" for figure in FIGURES) + f" over {figures['n']} rows"
        for name, figures in result["sets"].items()
    ]
