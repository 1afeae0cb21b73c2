"""SuperGLUE (Wang et al. 2019, arXiv 1905.00537). https://huggingface.co/datasets/aps/super_glue

copa: {"premise": "My body cast a shadow over the grass.", "choice1": "The sun was rising.", "choice2": "The grass was
cut.", "question": "cause", "label": 0, "idx": 0}

The test labels are hidden, so the publisher's validation rows are our test rows. MultiRC is scored by F1 over all
answers (F1a), ReCoRD by the best token F1 over the entities that count as right.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import TaskRow
from tasks.data.dataset import Source, row
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader

HUB = "aps/super_glue"
REVISION = "3de24cf8022e94f4ee4b9d55a6f539891524d646"
NO_YES = ("false", "true")


def _task(config: str, reader: Reader, category: str, template: str, size: str, **values: Any) -> TaskRow:
    source = Source(reader, HUB, config, REVISION)
    metric, verified = values.pop("metric", "accuracy"), values.pop("verified", "docs")
    folder = values.pop("folder", config)
    return row(source, category, template, metric, size=size, verified=verified, folder=folder, **values)


def _labelled(
    config: str, category: str, texts: tuple[str, ...], words: tuple[str, ...], template: str, size: str, **values: Any
) -> TaskRow:
    reader = Reader(texts, label="label", names=words)
    return _task(config, reader, category, template, size, label_words=words, chance=1 / len(words), **values)


def _entity(raw: Row) -> Row:
    """Return the row with the first right entity as the text to produce."""
    return {**raw, "target": raw["answers"][0], "query": raw["query"].replace("@placeholder", "@")}


def _pronoun(raw: Row) -> Row:
    return {**raw, "noun": raw["span1_text"], "pronoun": raw["span2_text"]}


_COPA = Reader(("premise", "question"), label="label", choices=("choice1", "choice2"))
_RECORD = Reader(
    ("passage", "query"), target="target", references="answers", make=_entity,
    raw={"passage": str, "query": str, "answers": list},
)  # fmt: skip
_WSC = Reader(
    ("text", "noun", "pronoun"), label="label", names=NO_YES, make=_pronoun,
    raw={"text": str, "span1_text": str, "span2_text": str, "label": object},
)  # fmt: skip

TASKS: Mapping[str, TaskRow] = {
    "superglue/boolq": _labelled(
        "boolq", "question answering", ("question", "passage"), NO_YES, "question : {question} passage : {passage}",
        "9,427 train, 3,270 test", max_input_tokens=256, verified="rows",
    ),
    "superglue/cb": _labelled(
        "cb", "inference", ("premise", "hypothesis"), ("entailment", "contradiction", "neutral"),
        "premise : {premise} hypothesis : {hypothesis}", "250 train, 56 test", metric="macro_f1", max_input_tokens=256,
    ),
    "superglue/copa": _task(
        "copa", _COPA, "question answering", "premise : {premise} what is the {question} ?", "400 train, 100 test",
        answer="choice", chance=0.5, max_input_tokens=64, max_target_tokens=32,
    ),
    "superglue/multirc": _labelled(
        "multirc", "question answering", ("paragraph", "question", "answer"), NO_YES,
        "paragraph : {paragraph} question : {question} answer : {answer}", "27,243 train, 4,848 test", metric="f1",
        max_input_tokens=512,
    ),
    "superglue/record": _task(
        "record", _RECORD, "question answering", "query : {query} passage : {passage}", "100,730 train, 10,000 test",
        metric="token_f1", answer="text", max_input_tokens=512, max_target_tokens=16,
    ),
    "superglue/rte": _labelled(
        "rte", "inference", ("premise", "hypothesis"), ("entailment", "not_entailment"),
        "premise : {premise} hypothesis : {hypothesis}", "2,490 train, 277 test", max_input_tokens=256,
        folder="superglue_rte",
    ),
    "superglue/wic": _labelled(
        "wic", "word sense", ("word", "sentence1", "sentence2"), NO_YES,
        "word : {word} sentence 1 : {sentence1} sentence 2 : {sentence2}", "5,428 train, 638 test",
    ),
    "superglue/wsc": _task(
        "wsc", _WSC, "coreference", "text : {text} does {pronoun} mean {noun} ?", "554 train, 104 test",
        label_words=NO_YES, chance=0.5,
    ),
}  # fmt: skip
