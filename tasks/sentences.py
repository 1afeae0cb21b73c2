"""Sentence and pair classification outside the benchmark suites: sentiment, topics, question types, inference.

trec: {"text": "How did serfdom develop in and then leave Russia ?", "coarse_label": 2, "fine_label": 26}

Where the publisher labels its test rows, they are reported; where it has a validation split, that selects.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import Example, TaskRow
from tasks.data.dataset import CARVED, Source, row
from tasks.data.hub_rows import PARQUET
from tasks.data.row_reader import HIDDEN, Reader

POLARITY = ("negative", "positive")
TEST, SPLIT = {"test": "test"}, "validation"
REVISIONS = {
    "fancyzhx/ag_news": "eb185aade064a813bc0b7f42de02595523103ca4",
    "cornell-movie-review-data/rotten_tomatoes": "aa13bc287fa6fcab6daf52f0dfb9994269ffea28",
    "stanfordnlp/imdb": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    "fancyzhx/amazon_polarity": "9d9c45c18f8c3cf1b23a3c27917b60cbf28f3289",
    "SetFit/sst5": "e51bdcd8cd3a30da231967c1a249ba59361279a3",
    "stanfordnlp/snli": "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
}
"""Commits on the Hub; the others are read from its Parquet copies, and the rows' digest says what was read."""


def _task(
    hub: str, category: str, words: tuple[str, ...], size: str, *, folder: str, verified: str = "docs",
    texts: tuple[str, ...] = ("text",), label: str = "label", names: tuple[str, ...] = (), config: str | None = None,
    template: str = "{text}", validation: str = CARVED, length: int = 128, **source: Any,
) -> TaskRow:  # fmt: skip
    reader = Reader(texts, label=label, names=names or words)
    origin = Source(reader, hub, config, REVISIONS.get(hub, PARQUET), validation=validation, tests=TEST, **source)
    return row(
        origin, category, template, "accuracy", label_words=words, chance=1 / len(words), max_input_tokens=length,
        folder=folder, size=size, verified=verified,
    )  # fmt: skip


def _labelled(example: Example) -> bool:
    """Return whether the row has a label.

    SNLI has no label on the 2 % of pairs on which its annotators did not agree.
    """
    return example.label != HIDDEN


TASKS: Mapping[str, TaskRow] = {
    "trec": _task(
        "CogComp/trec", "question type", ("abbreviation", "entity", "description", "human", "location", "number"),
        "5,452 train, 500 test", folder="trec", verified="rows", label="coarse_label",
        names=("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"), length=64,
    ),
    "ag_news": _task(
        "fancyzhx/ag_news", "topic", ("world", "sports", "business", "science"), "120,000 train, 7,600 test",
        folder="ag_news", verified="rows", names=("World", "Sports", "Business", "Sci/Tech"),
    ),
    "mr": _task(
        "cornell-movie-review-data/rotten_tomatoes", "sentiment", POLARITY, "8,530 train, 1,066 test", folder="mr",
        verified="rows", names=("neg", "pos"), length=64,
    ),
    "imdb": _task(
        "stanfordnlp/imdb", "sentiment", POLARITY, "25,000 train, 25,000 test", folder="imdb", names=("neg", "pos"),
        length=512,
    ),
    "amazon_polarity": _task(
        "fancyzhx/amazon_polarity", "sentiment", POLARITY, "3,600,000 train, 400,000 test", folder="amazon_polarity",
        texts=("title", "content"), template="{title} {content}", length=256,
    ),
    "yelp_polarity": _task(
        "fancyzhx/yelp_polarity", "sentiment", POLARITY, "560,000 train, 38,000 test", folder="yelp_polarity",
        length=256,
    ),
    "cr": _task(
        "SetFit/CR", "sentiment", POLARITY, "3,394 train, 376 test", folder="cr", verified="unverified", length=64
    ),
    "sst5": _task(
        "SetFit/sst5", "sentiment", ("very negative", "negative", "neutral", "positive", "very positive"),
        "8,544 train, 1,101 validation, 2,210 test", folder="sst5", verified="unverified", validation=SPLIT, length=64,
    ),
    "subj": _task(
        "SetFit/subj", "subjectivity", ("objective", "subjective"), "8,000 train, 2,000 test", folder="subj",
        verified="unverified", length=64,
    ),
    "snli": _task(
        "stanfordnlp/snli", "inference", ("entailment", "neutral", "contradiction"),
        "550,152 train, 10,000 validation, 10,000 test", folder="snli", texts=("premise", "hypothesis"),
        template="premise : {premise} hypothesis : {hypothesis}", validation=SPLIT, keep=_labelled,
    ),
    "scitail": _task(
        "allenai/scitail", "inference", ("neutral", "entails"), "23,097 train, 1,304 validation, 2,126 test",
        folder="scitail", config="tsv_format", texts=("premise", "hypothesis"),
        template="premise : {premise} hypothesis : {hypothesis}", validation=SPLIT,
    ),
}  # fmt: skip
