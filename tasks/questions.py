"""Questions with options, in their publishers' own schemas, scored by the options' likelihood; and SQuAD.

arc_easy: {"id": "MCAS_2000_4_6", "question": "Which technology was developed most recently?", "choices": {"text":
["cellular telephone", "television", "refrigerator", "airplane"], "label": ["A", "B", "C", "D"]}, "answerKey": "A"}

The test labels of PIQA, Social IQa, HellaSwag and WinoGrande are hidden: their validation rows are our test rows. The
same sets as instructions, as LLM-Adapters asks them, are in `tasks/commonsense.py`.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import TaskRow
from tasks.data.dataset import Source, row
from tasks.data.hub_rows import PARQUET
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader

TEST = {"test": "test"}
REVISIONS = {
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    "allenai/winogrande": "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
    "allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
    "allenai/openbookqa": "388097ea7776314e93a529163e0fea805b8a6454",
    "rajpurkar/squad": "7b6d24c440a36b6815f21b70d25016731768db1f",
}
"""Commits on the Hub; the others are read from its Parquet copies, and the rows' digest says what was read."""


def _task(
    hub: str, reader: Reader, template: str, options: int, size: str, *, folder: str, config: str | None = None,
    verified: str = "rows", length: int = 128, **source: Any,
) -> TaskRow:  # fmt: skip
    origin = Source(reader, hub, config, REVISIONS.get(hub, PARQUET), **source)
    return row(
        origin, "commonsense", template, "accuracy", answer="choice",
        chance=1 / options, max_input_tokens=length, max_target_tokens=64, folder=folder, size=size, verified=verified,
    )  # fmt: skip


def _keyed(question: str) -> Reader:
    """Return a reader for ARC and OpenBookQA: options with their keys (A to E, or 1 to 4) and the right one's key."""

    def make(raw: Row) -> Row:
        keys, texts = raw["choices"]["label"], raw["choices"]["text"]
        return {"question": raw[question], "options": list(texts), "right": list(keys).index(raw["answerKey"])}

    raw = {question: str, "choices": dict, "answerKey": str}
    return Reader(("question",), label="right", choices=("options",), make=make, raw=raw)


def _answers(raw: Row) -> Row:
    """Return the row with the first annotator's answer to produce; every annotator's counts as right."""
    texts = list(raw["answers"]["text"])
    return {**raw, "target": texts[0], "all": list(dict.fromkeys(texts))}


_SQUAD = Reader(
    ("question", "context"), target="target", references="all", make=_answers,
    raw={"question": str, "context": str, "answers": dict},
)  # fmt: skip
_ARC: dict[str, Any] = {"validation": "validation", "tests": TEST}

TASKS: Mapping[str, TaskRow] = {
    "piqa": _task(
        "ybisk/piqa", Reader(("goal",), label="label", choices=("sol1", "sol2")), "goal : {goal}", 2,
        "16,113 train, 1,838 test", folder="piqa",
    ),
    "social_i_qa": _task(
        "allenai/social_i_qa",
        Reader(("context", "question"), "label", ("1", "2", "3"), choices=("answerA", "answerB", "answerC")),
        "context : {context} question : {question}", 3, "33,410 train, 1,954 test", folder="siqa",
    ),
    "hellaswag": _task(
        "Rowan/hellaswag", Reader(("ctx",), label="label", choices=("endings",)), "{ctx}", 4,
        "39,905 train, 10,042 test", folder="hellaswag",
    ),
    "winogrande": _task(
        "allenai/winogrande", Reader(("sentence",), "answer", ("1", "2"), choices=("option1", "option2")),
        "fill in the blank : {sentence}", 2, "40,398 train, 1,267 test", folder="winogrande", config="winogrande_xl",
    ),
    "arc_easy": _task(
        "allenai/ai2_arc", _keyed("question"), "question : {question}", 4,
        "2,251 train, 570 validation, 2,376 test", folder="arc_easy", config="ARC-Easy", **_ARC,
    ),
    "arc_challenge": _task(
        "allenai/ai2_arc", _keyed("question"), "question : {question}", 4,
        "1,119 train, 299 validation, 1,172 test", folder="arc_challenge", config="ARC-Challenge", **_ARC,
    ),
    "openbookqa": _task(
        "allenai/openbookqa", _keyed("question_stem"), "question : {question}", 4,
        "4,957 train, 500 validation, 500 test", folder="openbookqa", config="main", **_ARC,
    ),
    "squad": row(
        Source(_SQUAD, "rajpurkar/squad", "plain_text", REVISIONS["rajpurkar/squad"]), "question answering",
        "question : {question} context : {context}", "token_f1", answer="text", max_input_tokens=512,
        max_target_tokens=32, folder="squad", size="87,599 train, 10,570 test", verified="docs",
    ),
}  # fmt: skip
