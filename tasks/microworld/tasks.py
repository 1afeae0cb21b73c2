"""The microworld's tasks, one row each. The module that makes a task's rows shows an example of them.

Rows are generated, not read; `split_seed` 0 gives the rows that every shipped number was made with. A test set has 512
rows (instructions 300, each commonsense task 250), or as many more as `task.test_size` asks for. A validation set has 256
(instructions 105, commonsense 320), or as many more as `task.validation_size` asks for.
"""

from collections.abc import Callable
from functools import lru_cache

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import mixtures
from tasks.base import Splits, TaskRow
from tasks.microworld import commonsense, inference, instructions, lexicon, reading, rows, sentiment

_SOURCE = f"microworld {lexicon.VERSION}, generated"


PROMPT = "below is an instruction that describes a task . write a response that appropriately completes the request . "


def _made(make: Callable[[str, TaskConfig], Splits]) -> Callable[[TaskConfig], Splits]:
    def load(config: TaskConfig) -> Splits:
        if config.files or config.columns:
            named = "files" if config.files else "columns"
            raise UsageError(f"task.{named}: {config.name} is generated and reads no files. Leave it out.")
        if config.data_dir:
            raise UsageError(f"task.data_dir={config.data_dir}: {config.name} is generated and reads no files.")
        return make(f"{config.name} {config.split_seed}", config)

    return load


@lru_cache(maxsize=32)
def _splits(maker: rows.Maker, labels: int, seed: str, test_rows: int, validation_rows: int) -> Splits:
    """Return the rows of a task, made once: a command that looks at all exhibits asks for them dozens of times."""
    return rows.splits(maker, labels, seed, test_rows=test_rows, validation_rows=validation_rows)


def _generated(maker: rows.Maker, labels: int) -> Callable[[TaskConfig], Splits]:
    def make(seed: str, test_rows: int, validation_rows: int) -> Splits:
        return _splits(maker, labels, seed, test_rows, validation_rows)

    return _with_more(make, rows.MOST_TEST_ROWS, rows.MOST_VALIDATION_ROWS)


def _with_more(make: Callable[[str, int, int], Splits], test: int, validation: int) -> Callable[[TaskConfig], Splits]:
    """Return a loader whose splits have as many rows as the configuration asks for, at most `test` and `validation`."""

    def wanted(seed: str, config: TaskConfig) -> Splits:
        return make(seed, min(config.test_size or 0, test), min(config.validation_size or 0, validation))

    return _made(wanted)


def _review(maker: rows.Maker) -> TaskRow:
    return TaskRow(
        category="sentiment", template="review : {review} sentiment :", metric="accuracy", load=_generated(maker, 2),
        label_words=sentiment.LABEL_WORDS, chance=1 / 2, max_input_tokens=64, source=_SOURCE, generated=True,
    )  # fmt: skip


def _inference(maker: rows.Maker) -> TaskRow:
    return TaskRow(
        category="inference", template="premise : {premise} hypothesis : {hypothesis}", metric="accuracy",
        load=_generated(maker, 3), label_words=inference.LABEL_WORDS, chance=1 / 3, max_input_tokens=64, source=_SOURCE, generated=True,
    )  # fmt: skip


TASKS = {
    "micro/sentiment": _review(sentiment.shows),
    "micro/sentiment-goods": _review(sentiment.goods),
    "micro/inference": _inference(inference.states),
    "micro/inference-roles": _inference(inference.roles),
    "micro/qa": TaskRow(
        category="question answering", template="context : {context} question : {question}", metric="exact_match",
        load=_generated(reading.places, reading.PEOPLE_TOLD), answer="text", chance=1 / reading.PEOPLE_TOLD,
        max_input_tokens=64, max_target_tokens=4, source=_SOURCE, generated=True,
    ),
    "micro/qa-choice": TaskRow(
        category="question answering", template="options : {options} question : {question}", metric="accuracy",
        load=_generated(reading.choices, 3), answer="choice", chance=1 / 3, max_input_tokens=64,
        max_target_tokens=6, source=_SOURCE, generated=True,
    ),
    "micro/instructions": TaskRow(
        category="instruction following", metric="exact_match",
        template=PROMPT + "### instruction : {instruction} ### input : {input} ### response :",
        load=_with_more(instructions.suite, instructions.MOST_TEST_ROWS, instructions.MOST_VALIDATION_ROWS), answer="text", max_input_tokens=64, max_target_tokens=8, source=_SOURCE, generated=True,
    ),
    "micro/commonsense": TaskRow(
        category="commonsense", metric="extracted_accuracy", template=PROMPT + "### instruction : {instruction} ### response :",
        load=_with_more(commonsense.mixture, commonsense.MOST_TEST_ROWS, commonsense.MOST_VALIDATION_ROWS), answer="text", chance=commonsense.CHANCE, max_input_tokens=112,
        max_target_tokens=8, source=_SOURCE, generated=True,
    ),
}  # fmt: skip
TASKS["joint/micro"] = mixtures.row(TASKS, ("micro/sentiment-goods", "micro/inference-roles", "micro/qa-choice"))
