"""Texts to produce: summaries, descriptions, worked solutions.

gsm8k: {"question": "Natalia sold clips to 48 of her friends …", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in
May.\\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\\n#### 72"}

E2E has several descriptions per meaning in its test set, one a row: every row is a target of its own here. MetaMathQA
(Yu et al. 2023) is trained on and GSM8K's test rows are reported.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import TaskRow
from tasks.data.dataset import CARVED, Source, row
from tasks.data.hub_rows import PARQUET
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader

TEST = {"test": "test"}
INSTRUCTION = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
"""The prompt of Alpaca for an instruction without further input."""


def _task(
    hub: str, column: str, target: str, category: str, template: str, size: str, *, folder: str, metric: str,
    lengths: tuple[int, int], config: str | None = None,
) -> TaskRow:  # fmt: skip
    source = Source(Reader((column,), target=target), hub, config, PARQUET, validation="validation", tests=TEST)
    return row(
        source, category, template, metric, answer="text", folder=folder, size=size, verified="docs",
        max_input_tokens=lengths[0], max_target_tokens=lengths[1],
    )  # fmt: skip


def _asked(question: str, answer: str) -> Reader:
    def make(raw: Row) -> Row:
        return {"instruction": raw[question], "solution": raw[answer]}

    return Reader(("instruction",), target="solution", make=make, raw={question: str, answer: str})


_MATH: dict[str, Any] = {
    "answer": "text", "max_input_tokens": 256, "max_target_tokens": 512, "verified": "docs",
}  # fmt: skip
_GSM8K = Source(
    _asked("question", "answer"),
    "openai/gsm8k",
    "main",
    "e53f048856ff4f594e959d75785d2c2d37b678ee",
    validation=CARVED,
    tests=TEST,
)
_METAMATH = Source(
    _asked("query", "response"), "meta-math/MetaMathQA", None, "3a955ee840aef9de9e36f7fdaebf7afe222b3da6", tests=TEST,
    places={"train": ("MetaMathQA-395K", "train"), "test": ("test", "gsm8k/test", "../gsm8k/test")},
    test_source=_GSM8K,
)  # fmt: skip

TASKS: Mapping[str, TaskRow] = {
    "samsum": _task(
        "Samsung/samsum", "dialogue", "summary", "summarisation", "summarize : {dialogue}",
        "14,732 train, 818 validation, 819 test", folder="samsum", metric="rouge_l", lengths=(512, 64),
    ),
    "xsum": _task(
        "EdinburghNLP/xsum", "document", "summary", "summarisation", "summarize : {document}",
        "204,045 train, 11,332 validation, 11,334 test", folder="xsum", metric="rouge_l", lengths=(512, 64),
    ),
    "e2e": _task(
        "tuetschek/e2e_nlg", "meaning_representation", "human_reference", "generation",
        "describe : {meaning_representation}", "42,061 train, 4,672 validation, 4,693 test", folder="e2e_nlg",
        metric="bleu", lengths=(128, 96),
    ),
    "gsm8k": row(
        _GSM8K, "mathematics", INSTRUCTION, "number_accuracy", folder="gsm8k", size="7,473 train, 1,319 test", **_MATH
    ),
    "metamath": row(
        _METAMATH, "mathematics", INSTRUCTION, "number_accuracy", folder="MetaMathQA",
        size="395,000 train, 1,319 test (GSM8K)", **_MATH,
    ),
}  # fmt: skip
