"""GLUE (Wang et al. 2019, arXiv 1804.07461). https://huggingface.co/datasets/nyu-mll/glue

sst2: {"sentence": "it 's a charming and often affecting journey . ", "label": 1, "idx": 0}

The test labels are hidden, so the publisher's validation rows are our test rows. STS-B's score (0 to 5) is a text to
produce, in steps of 0.2, as T5 does it (Raffel et al. 2020, section 2.4). A classifier's head predicts the exact score.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tasks.base import TaskRow
from tasks.data.dataset import Source, row
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader

HUB = "nyu-mll/glue"
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
CLOZES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "cola": ("{sentence} This is {mask}.", ("incorrect", "correct")),
    "sst2": ("{sentence} It was {mask}.", ("terrible", "great")),
    "mrpc": ("{sentence1} {mask}, {sentence2}", ("No", "Yes")),
    "qqp": ("{question1} {mask}, {question2}", ("No", "Yes")),
    "mnli": ("{premise}? {mask}, {hypothesis}", ("Yes", "Maybe", "No")),
    "qnli": ("{question}? {mask}, {sentence}", ("Yes", "No")),
    "rte": ("{sentence1}? {mask}, {sentence2}", ("Yes", "No")),
}
"""For masked encoders, by the code of Delta Tuning's combination study (thunlp/OpenDelta@067eed2); it
also drops the first sentence's last sign before the question mark and writes the second one's first letter small."""


def _task(
    config: str, category: str, texts: tuple[str, ...], words: tuple[str, ...], template: str, size: str,
    metric: str = "accuracy", tests: Mapping[str, str] | None = None, **values: Any,
) -> TaskRow:  # fmt: skip
    reader = Reader(texts, label="label", names=words)
    source = Source(reader, HUB, config, REVISION, tests=tests or {"test": "validation"})
    cloze, cloze_words = CLOZES[config]
    return row(
        source, category, template, metric, label_words=words, chance=1 / len(words), folder=config, size=size,
        verified="rows", cloze=cloze, cloze_words=cloze_words, **values,
    )  # fmt: skip


def _score(raw: Row) -> Row:
    """Return the row with its score as a text in steps of 0.2: 3.8."""
    return {**raw, "target": f"{round(raw['label'] * 5) / 5:.1f}"}


_pair = partial(_task, template="premise : {sentence1} hypothesis : {sentence2}")
_STSB = Reader(
    ("sentence1", "sentence2"), score="label", target="target", make=_score,
    raw={"sentence1": str, "sentence2": str, "label": float},
)  # fmt: skip

TASKS: Mapping[str, TaskRow] = {
    "glue/cola": _task(
        "cola", "acceptability", ("sentence",), ("unacceptable", "acceptable"), "{sentence}",
        "8,551 train, 1,043 test", metric="matthews", max_input_tokens=64,
    ),
    "glue/sst2": _task(
        "sst2", "sentiment", ("sentence",), ("negative", "positive"), "{sentence}", "67,349 train, 872 test",
        max_input_tokens=64, notes={"schema": "verified on rows: sentence, label (0 negative, 1 positive), idx"},
    ),
    "glue/mrpc": _task(
        "mrpc", "paraphrase", ("sentence1", "sentence2"), ("different", "equivalent"),
        "sentence 1 : {sentence1} sentence 2 : {sentence2}", "3,668 train, 408 test", metric="f1",
    ),
    "glue/qqp": _task(
        "qqp", "paraphrase", ("question1", "question2"), ("different", "duplicate"),
        "question 1 : {question1} question 2 : {question2}", "363,846 train, 40,430 test", metric="f1",
    ),
    "glue/stsb": row(
        Source(_STSB, HUB, "stsb", REVISION), "similarity", "sentence 1 : {sentence1} sentence 2 : {sentence2}",
        "pearson", answer="text", folder="stsb", size="5,749 train, 1,500 test", verified="rows",
    ),
    "glue/mnli": _task(
        "mnli", "inference", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"),
        "premise : {premise} hypothesis : {hypothesis}", "392,702 train, 9,815 and 9,832 test",
        tests={"matched": "validation_matched", "mismatched": "validation_mismatched"},
    ),
    "glue/qnli": _task(
        "qnli", "inference", ("question", "sentence"), ("entailment", "not_entailment"),
        "question : {question} sentence : {sentence}", "104,743 train, 5,463 test",
    ),
    "glue/rte": _pair(
        "rte", "inference", ("sentence1", "sentence2"), ("entailment", "not_entailment"), size="2,490 train, 277 test",
    ),
}  # fmt: skip
