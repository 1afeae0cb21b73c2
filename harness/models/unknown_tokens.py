"""The share of a task's text that a backbone cannot read: the tokens that its tokenizer has for unknown words.

Torch is not imported.

A backbone that reads unknown tokens alone guesses from the length of a text, and its score measures nothing. So a task
is refused before training where the share of a split is above `task.max_unknown_share`, and a smaller share is noted
beside the score. Counted are the columns of the template and the answers, without the template's own words. Bytes and
byte pieces are never unknown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from harness.errors import UsageError
from tasks import templates
from tasks.base import Example, Task

ROWS = 256
"""The rows of a split that are read, evenly spread over it; of a smaller split all are."""
SHOWN = 3
NOTED = 0.01
"""The share from which a plan has a line about it."""


@dataclass(frozen=True)
class Part:
    """The unknown tokens in the inputs or the answers of one split. words: some of the unknown ones, as written."""

    split: str
    what: str
    unknown: int
    tokens: int
    words: tuple[str, ...]
    rows: int
    of: int

    @property
    def share(self) -> float:
        """Return the share of the tokens that are unknown."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def line(self, task: str, model: str) -> str:
        """Return the share in words, with some of the words."""
        such = f" (such as {', '.join(map(repr, self.words))})" if self.words else ""
        rows = f"{self.rows} of {self.of} rows" if self.rows < self.of else f"{self.rows} rows"
        return (
            f"task {task}: {self.share:.1%} of the tokens in the {self.what} of its {self.split} split are unknown to "
            f"{model}{such}; {rows} were read"
        )


def count(task: Task, objective: str, tokenizer: Tokenizer, unknown: int | None) -> list[Part]:
    """Return the unknown tokens of each split's inputs and answers; [] for a tokenizer that knows every text.

    unknown: the id of its token for unknown words. A classifier's head has no words for answers. Truncation of the
    tokenizer is turned off.
    """
    if unknown is None:
        return []
    tokenizer.no_truncation()
    return [
        _part(split, what, [text for row in read for text in texts(row)], len(read), len(rows), tokenizer, unknown)
        for split, rows in task.splits.named().items()
        for read in [spread(rows)]
        for what, texts in _texts(task, objective)
    ]


def check(task: Task, parts: Sequence[Part], most: float, model: str) -> list[str]:
    """Return sentences about the splits of which NOTED or more is unknown.

    Raises UsageError where more than `most` of a split is.
    """
    worst = max(parts, key=lambda part: part.share, default=None)
    if worst is not None and worst.share > most:
        raise UsageError(
            f"{worst.line(task.name, model)}. At most {most:.0%} may be: take a model that knows these words, or set "
            "task.max_unknown_share=1 to run it all the same."
        )
    return [part.line(task.name, model) for part in parts if part.share >= NOTED]


def note(parts: Sequence[Part]) -> dict[str, dict[str, float]]:
    """Return the record's notes on them: `unknown_inputs` and `unknown_answers`, split -> share; no zeros."""
    shares: dict[str, dict[str, float]] = {}
    for part in parts:
        if part.unknown:
            shares.setdefault(f"unknown_{part.what}", {})[part.split] = round(part.share, 4)
    return shares


def _texts(task: Task, objective: str) -> Iterator[tuple[str, Callable[[Example], Sequence[str]]]]:
    """Yield what is read of a row: its columns, and the answers where they are words."""
    names = templates.columns((task.cloze if objective == "masked" else "") or task.template)
    yield "inputs", lambda row: [row.fields[name] for name in names if name in row.fields]
    if objective == "classifier" and task.answer != "choice":
        return
    words = (task.cloze_words if objective == "masked" else ()) or task.label_words
    yield "answers", lambda row: [task.target(row)] if task.answer == "text" else row.choices or words


def spread(rows: Sequence[Example]) -> list[Example]:
    """Return at most ROWS rows, evenly spread."""
    count = min(ROWS, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _part(
    split: str, what: str, texts: Sequence[str], rows: int, of: int, tokenizer: Tokenizer, unknown: int
) -> Part:  # fmt: skip
    unseen, tokens, words = 0, 0, dict[str, None]()
    counts: dict[str, int] = {}
    for text in texts:  # label words are the same in every row
        counts[text] = counts.get(text, 0) + 1
    encodings = tokenizer.encode_batch(list(counts), add_special_tokens=False)
    for (text, times), encoding in zip(counts.items(), encodings, strict=True):
        places = [place for place, token in enumerate(encoding.ids) if token == unknown]
        unseen, tokens = unseen + times * len(places), tokens + times * len(encoding.ids)
        if len(words) < SHOWN:
            words.update(dict.fromkeys(text[slice(*encoding.offsets[place])][:20] for place in places[:SHOWN]))
    return Part(split, what, unseen, tokens, tuple(words)[:SHOWN], rows, of)
