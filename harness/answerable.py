"""Whether a tokenizer can tell a task's answers apart: the same tokens have the same score. Torch-free.

Words become the same tokens where they are unknown (an emoji), cut at `task.max_target_tokens`, lower-cased, or given
twice. Such a task is trained and scored as guessing, so it is refused before it is.
"""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer

import tasks
from harness import controls, weights
from harness.config import Cell
from harness.errors import UsageError

LIKELIHOOD = ("seq2seq", "causal", "masked")
"""Objectives that compare answers by their tokens."""
MOST_ALIKE = 0.5
"""Share of a split's rows whose right choice equals another: from here on a score tells guessing."""


def check_words(words: Sequence[str], spelt: Sequence[Sequence[int]], model: str) -> None:
    """spelt: the tokens of each word, as they are scored. UsageError for a pair that is the same, or a word of none."""
    seen: dict[tuple[int, ...], str] = {}
    for word, tokens in zip(words, map(tuple, spelt), strict=True):
        if not word.strip():
            raise UsageError(f"the label word {word!r} is white space, which is no answer; say another word.")
        if tokens in seen:
            raise UsageError(
                f"label words {seen[tokens]} and {word} are the same tokens to {model}: it cannot tell them apart. "
                "Say other words (task.label_words), or raise task.max_target_tokens where they are cut."
            )
        seen[tokens] = word


def alike(options: Sequence[Sequence[int]], right: int) -> bool:
    """Whether the right option of a row is the same tokens as another of its options."""
    own = list(options[right])
    return sum(list(option) == own for option in options) > 1


def check_plan(cells: Iterable[Cell]) -> None:
    """The same for label words of cells that are planned, where the model's tokenizer lies here."""
    seen = {repr((cell.model, cell.objective, cell.task)): cell for cell in cells if cell.objective in LIKELIHOOD}
    for cell in seen.values():
        row = tasks.row(cell.task)
        folder = weights.tokenizer_folder(cell.model) if cell.model.source != "hub" or cell.model.path else None
        if row.answer != "label" or folder is None or not (folder / "tokenizer.json").is_file():
            continue
        words = (row.cloze_words if cell.objective == "masked" else ()) or row.label_words
        try:
            tokenizer, _ = controls.closed(Tokenizer.from_file(str(folder / "tokenizer.json")))
        except Exception:  # the tokenizers library raises bare Exception; a run's preflight names what is wrong
            continue
        spelt = [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
        check_words(words, [tokens[: row.max_target_tokens] for tokens in spelt], cell.model.name)
