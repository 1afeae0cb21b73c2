"""Checks that a tokenizer keeps a task's answers apart: answers of the same tokens have the same score.

Torch is not imported.

Words become the same tokens where they are unknown (an emoji), cut at `task.max_target_tokens`, lower-cased, or given
twice. The score of such a task is that of guessing, so the task is refused before training.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial

from tokenizers import Tokenizer

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.models import control_tokens, cut_columns, unknown_tokens, weight_files
from tasks import registry as tasks
from tasks.base import Task

LIKELIHOOD = ("seq2seq", "causal", "masked")
"""Objectives that compare answers by their tokens."""
MOST_ALIKE = 0.5
"""The share of a split's rows whose right choice equals another one from which a score measures guessing."""


def check_words(words: Sequence[str], spelt: Sequence[Sequence[int]], limit: int, model: str) -> None:
    """Raise UsageError for two words of the same tokens, for a word of white space, and for a word that is cut.

    spelt: the tokens of each whole word. A word is cut where it and its end token take more than `limit` tokens: its
    score would be that of every text that begins with it.
    """
    seen: dict[tuple[int, ...], str] = {}
    for word, tokens in zip(words, map(tuple, spelt), strict=True):
        if len(tokens) >= limit:
            raise UsageError(
                f"label word {word} is {len(tokens)} tokens and an end token to {model}, and an answer may have "
                f"{limit}. Set task.max_target_tokens={len(tokens) + 1} or choose a shorter word."
            )
        if not word.strip():
            raise UsageError(f"the label word {word!r} is white space, which is no answer; choose another word.")
        if tokens in seen:
            raise UsageError(
                f"label words {_visible(seen[tokens])} and {_visible(word)} are the same tokens to {model}: it cannot "
                "tell them apart. Choose other words (task.label_words)."
            )
        seen[tokens] = word


def _visible(word: str) -> str:
    """Return a word, in quotation marks where it has spaces around it."""
    return word if word == word.strip() else repr(word)


def alike(options: Sequence[Sequence[int]], right: int) -> bool:
    """Return whether the right option of a row has the same tokens as another of its options."""
    own = list(options[right])
    return sum(list(option) == own for option in options) > 1


def following(encode: Callable[[str], list[int]], before: str, whole: str, answer: str) -> list[int]:
    """Return the token ids of an answer after a text: those of `whole` after its beginning `before`.

    Where the tokens of `before` do not begin those of `whole`, the answer is tokenised by itself.
    """
    start, tokens = encode(before), encode(whole)
    return tokens[len(start) :] if tokens[: len(start)] == start else encode(answer)


def speller(encode: Callable[[str], list[int]], objective: str) -> Callable[[str], list[int]]:
    """Return a function answer -> its token ids without an end token: after a word for a decoder, by itself
    elsewhere.
    """
    if objective == "causal":
        return cache(lambda answer: following(encode, "x", f"x {answer}", answer))
    return cache(encode)


def check_rows(task: Task, spell: Callable[[str], list[int]], limit: int, model: str) -> list[str]:
    """Return sentences about splits in which the model cannot distinguish some rows' right answers; all rows are
    checked.

    Raises UsageError where that is so in half of a split or more, and where all texts of a split are cut, so that none
    could be right. limit: the tokens that an answer may have, its end token included.
    """
    sentences = []
    for split, rows in task.splits.named().items():
        if task.answer == "text":
            if all(len(spell(task.target(row))) > limit for row in rows):
                raise UsageError(
                    f"task {task.name}: all answers of its {split} split are longer than {limit} tokens to {model}, so "
                    "none could be right. Raise task.max_target_tokens."
                )
            continue
        ended = ([[*spell(option), _END][:limit] for option in row.choices] for row in rows)
        same = sum(alike(spelt, int(row.label or 0)) for spelt, row in zip(ended, rows, strict=True))
        line = (
            f"task {task.name}: in {same} of {len(rows)} rows of its {split} split the right choice and another are "
            f"the same tokens to {model}"
        )
        if same >= MOST_ALIKE * len(rows):
            raise UsageError(f"{line}. Give other choices, or raise task.max_target_tokens where they are cut.")
        sentences += [line] if same else []
    return sentences


_END = -1
"""A placeholder for the end token, which every whole answer has."""


def compared(objective: str, answer: str) -> bool:
    """Return whether rows have answers of their own that the objective reads: texts, or options."""
    return answer == "choice" or (objective in LIKELIHOOD and answer == "text")


def check_plan(cells: Iterable[Cell]) -> list[str]:
    """Check the text of planned cells as a run does, where the model's tokenizer is on this machine.

    Returns the sentences of `check_rows`, `cut_columns` and `unknown_tokens`. Raises UsageError as `check_words`,
    `check_rows` and `unknown_tokens.check` do.
    """
    sentences: list[str] = []
    seen = {repr((cell.model, cell.objective, cell.task)): cell for cell in cells}
    for cell in seen.values():
        row = tasks.row(cell.task)
        folder = weight_files.tokenizer_folder(cell.model) if cell.model.source != "hub" or cell.model.path else None
        if folder is None or not (folder / "tokenizer.json").is_file():
            continue
        words = (row.cloze_words if cell.objective == "masked" else ()) or row.label_words
        try:
            tokenizer, names = control_tokens.closed(Tokenizer.from_file(str(folder / "tokenizer.json")))
        except Exception:  # the tokenizers library raises bare Exception; a run's preflight reports the reason
            continue
        task, spell = tasks.load(cell.task), speller(partial(_ids, tokenizer), cell.objective)
        if compared(cell.objective, row.answer):
            limit = row.max_target_tokens if cell.objective in LIKELIHOOD else task.max_input_tokens
            sentences += check_rows(task, spell, limit, cell.model.name)
        elif cell.objective in LIKELIHOOD:
            spelt = [spell(word) for word in words]
            limit = max(map(len, spelt)) + 1 if cell.objective == "masked" else row.max_target_tokens
            check_words(words, spelt, limit, cell.model.name)
        sentences += cut_columns.lines(task, cell.objective, tokenizer, names, cell.model.name)
        unread = unknown_tokens.count(task, cell.objective, tokenizer, names.unknown)
        sentences += unknown_tokens.check(task, unread, cell.task.max_unknown_share, cell.model.name)
    return list(dict.fromkeys(sentences))


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
