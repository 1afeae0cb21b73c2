"""Columns of which the limit on a text's length leaves nothing. Torch is not imported.

A long passage before a question pushes the whole question out of the text, and the score is then that of guessing. What
remains of a text depends on the objective: its start, its end, or the part around the mask.
"""

from collections import Counter

from tokenizers import Encoding, Tokenizer

from harness.models.control_tokens import Controls
from harness.models.unknown_tokens import spread
from tasks import templates
from tasks.base import Example, Task

MASKS = ("<mask>", "[MASK]")


def lines(task: Task, objective: str, tokenizer: Tokenizer, names: Controls, model: str) -> list[str]:
    """Return a sentence for each column of which nothing remains in some of the rows that are read of a split.

    Truncation of the tokenizer is turned off. The model's own table of positions may be shorter than the task's limit;
    that is not known here.
    """
    tokenizer.no_truncation()
    notes = []
    for split, rows in task.splits.named().items():
        read = spread(rows)
        counts = Counter(name for row in read for name in _cut(task, row, objective, tokenizer, names))
        notes += [
            f"task {task.name}: of {{{name}}} nothing is left in {count} of the {len(read)} rows read of its {split} "
            f"split, because {model} gets {task.max_input_tokens} tokens; raise task.max_input_tokens or give another "
            "task.template"
            for name, count in counts.items()
        ]
    return notes


def _cut(task: Task, row: Example, objective: str, tokenizer: Tokenizer, names: Controls) -> list[str]:
    """Return the columns of one row of which no token remains, though they have text."""
    template, values = task.template, dict(row.fields)
    sign = next((names.names[sign] for sign in MASKS if sign in names.names), MASKS[0])
    if objective == "masked":
        template, values = task.cloze or f"{template} {{mask}}", dict(values, mask=sign)
    text, places = templates.spans(template, values)
    if len(text) <= task.max_input_tokens - tokenizer.num_special_tokens_to_add(False):
        return []  # a token has a character at least
    encoding = tokenizer.encode(text)
    at = text.find(sign) if objective == "masked" else None
    spans = _kept(encoding, task, objective, at)
    whole = {name for name, start, end in places if start < end and not any(a < end and b > start for a, b in spans)}
    here = {name for name, start, end in places if any(a < end and b > start for a, b in spans)}
    return sorted(whole - here)


def _kept(encoding: Encoding, task: Task, objective: str, mask: int | None) -> list[tuple[int, int]]:
    """Return the characters (first, the one after the last) of the tokens that remain."""
    pairs = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    words = [place for place, special in pairs if not special or (mask is not None and place[0] == mask < place[1])]
    room = task.max_input_tokens - (len(encoding.ids) - len(words))
    first = 0
    if mask is not None:
        centre = next((i for i, (start, end) in enumerate(words) if start <= mask < end), 0)
        first = min(max(centre - room // 2, 0), max(len(words) - room, 0))
    elif objective == "causal" or task.keep == "end" or (objective == "classifier" and task.answer == "choice"):
        first = max(len(words) - room, 0)
    return words[first : first + max(room, 0)]
