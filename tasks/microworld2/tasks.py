"""The tasks of world 2, one row each. The module that makes a task's rows shows an example of them.

Rows are generated, not read; `split_seed` 0 gives the rows that every shipped number was made with. SHARES: level of
difficulty -> percent of the rows of every split, set so that full fine-tuning of the smallest backbone scores 70 to 90.
"""

from collections.abc import Callable, Mapping

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks.base import Splits, TaskRow
from tasks.microworld.tasks import PROMPT
from tasks.microworld2 import (
    VERSION,
    commonsense,
    entailments,
    graded_rows,
    instructions,
    reviews,
    same_meaning,
    story_questions,
    summaries,
    well_formed,
)

_SOURCE = f"microworld {VERSION}, generated"
SHARES: Mapping[str, Mapping[int, int]] = {
    "micro2/sentiment": {1: 15, 2: 15, 3: 35, 4: 35},
    "micro2/sentiment-goods": {1: 20, 2: 40, 3: 40},
    "micro2/sentiment-aspect": {1: 25, 2: 45, 3: 30},
    "micro2/inference": {1: 50, 2: 30, 3: 20},
    "micro2/inference-roles": {1: 34, 2: 33, 3: 33},
    "micro2/inference-kinds": {1: 50, 2: 30, 3: 20},
    "micro2/paraphrase": {1: 34, 2: 33, 3: 33},
    "micro2/paraphrase-order": {1: 34, 2: 33, 3: 33},
    "micro2/qa": {1: 15, 2: 15, 3: 20, 4: 35, 5: 15},
    "micro2/qa-choice": {1: 30, 2: 40, 3: 30},
    "micro2/summary": {1: 20, 2: 40, 3: 40},
    "micro2/dialogue": {1: 30, 2: 40, 3: 30},
    "micro2/acceptability": {1: 25, 2: 25, 3: 25, 4: 25},
    "micro2/instructions": {1: 30, 2: 40, 3: 30},
}


def _made(make: Callable[[str, str], Splits]) -> Callable[[TaskConfig], Splits]:
    """Return what loads generated rows. make: from the task's name and a seed."""

    def load(config: TaskConfig) -> Splits:
        for name in ("files", "columns", "data_dir"):
            if getattr(config, name):
                raise UsageError(f"task.{name}: {config.name} is generated and reads no files. Leave it out.")
        return make(config.name, f"{config.name} {config.split_seed}")

    return load


def _load(maker: graded_rows.Maker, labels: int) -> Callable[[TaskConfig], Splits]:
    return _made(lambda name, seed: graded_rows.splits(maker, labels, seed, SHARES[name]))


def _classes(
    category: str, template: str, maker: graded_rows.Maker, words: tuple[str, ...], tokens: int = 64
) -> TaskRow:
    return TaskRow(
        category=category, template=template, metric="accuracy", load=_load(maker, len(words)), label_words=words,
        chance=1 / len(words), max_input_tokens=tokens, source=_SOURCE, generated=True,
    )  # fmt: skip


def _texts(category: str, template: str, maker: graded_rows.Maker, most: int, chance: float = 0.0) -> TaskRow:
    return TaskRow(
        category=category, template=template, metric="exact_match", load=_load(maker, 1), answer="text", chance=chance,
        max_input_tokens=80, max_target_tokens=most, source=_SOURCE, generated=True,
    )  # fmt: skip


_REVIEW = "review : {review} sentiment :"
_NLI = "premise : {premise} hypothesis : {hypothesis}"
_PAIR = "sentence : {first} paraphrase : {second}"
TASKS = {
    "micro2/sentiment": _classes("sentiment", _REVIEW, reviews.polarity, reviews.LABEL_WORDS),
    "micro2/sentiment-goods": _classes("sentiment", _REVIEW, reviews.purchases, reviews.LABEL_WORDS),
    "micro2/sentiment-aspect": _classes(
        "sentiment", "review : {review} aspect : {aspect} sentiment :", reviews.aspects, reviews.LABEL_WORDS, 80
    ),
    "micro2/inference": _classes("inference", _NLI, entailments.states, entailments.LABEL_WORDS),
    "micro2/inference-roles": _classes("inference", _NLI, entailments.roles, entailments.LABEL_WORDS),
    "micro2/inference-kinds": _classes("inference", _NLI, entailments.rules, entailments.LABEL_WORDS),
    "micro2/paraphrase": _classes("paraphrase", _PAIR, same_meaning.events, same_meaning.LABEL_WORDS),
    "micro2/paraphrase-order": _classes("paraphrase", _PAIR, same_meaning.orders, same_meaning.LABEL_WORDS),
    "micro2/qa": _texts(
        "question answering", "context : {context} question : {question}", story_questions.whereabouts, 4, 1 / 3
    ),
    "micro2/qa-choice": TaskRow(
        category="question answering", template="options : {options} question : {question}", metric="accuracy",
        load=_load(story_questions.choices, 3), answer="choice", chance=1 / 3, max_input_tokens=64,
        max_target_tokens=6, source=_SOURCE, generated=True,
    ),
    "micro2/summary": _texts("summarisation", "story : {story} summary :", summaries.gist, 16),
    "micro2/dialogue": _texts("summarisation", "dialogue : {dialogue} summary :", summaries.plan, 16),
    "micro2/acceptability": _classes(
        "acceptability", "sentence : {sentence} acceptable ?", well_formed.acceptability, well_formed.LABEL_WORDS
    ),
    "micro2/instructions": TaskRow(
        category="instruction following", metric="exact_match",
        template=PROMPT + "### instruction : {instruction} ### input : {input} ### response :",
        load=_load(instructions.order, len(instructions.KINDS)), answer="text", max_input_tokens=80, max_target_tokens=20,
        source=_SOURCE, generated=True,
    ),
    "micro2/commonsense": TaskRow(
        category="commonsense", metric="extracted_accuracy", template=PROMPT + "### instruction : {instruction} ### response :",
        load=_made(lambda _, seed: commonsense.mixture(seed)), answer="text", chance=commonsense.CHANCE,
        max_input_tokens=128, max_target_tokens=8, source=_SOURCE, generated=True,
    ),
}  # fmt: skip
