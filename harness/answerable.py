"""Whether a tokenizer can tell a task's answers apart: the same tokens have the same score. Torch-free.

Words become the same tokens where they are unknown (an emoji), cut at `task.max_target_tokens`, lower-cased, or given
twice. The score of such a task is that of guessing, so the task is refused before training.
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
                f"{limit}. Set task.max_target_tokens={len(tokens) + 1} or say a shorter word."
            )
        if not word.strip():
            raise UsageError(f"the label word {word!r} is white space, which is no answer; say another word.")
        if tokens in seen:
            raise UsageError(
                f"label words {seen[tokens]} and {word} are the same tokens to {model}: it cannot tell them apart. "
                "Say other words (task.label_words)."
            )
        seen[tokens] = word


def alike(options: Sequence[Sequence[int]], right: int) -> bool:
    """Whether the right option of a row is the same tokens as another of its options."""
    own = list(options[right])
    return sum(list(option) == own for option in options) > 1


def check_plan(cells: Iterable[Cell]) -> None:
    """Check the label words of planned cells as `check_words` does, where the model's tokenizer is on this machine."""
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
        limit = max(map(len, spelt)) + 1 if cell.objective == "masked" else row.max_target_tokens
        check_words(words, spelt, limit, cell.model.name)
