"""Texts as a model's token ids and back: inputs, answers, prompts and what follows them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tokenizers import Tokenizer

from harness.errors import UsageError
from harness.models import answer_tokens
from harness.models.control_tokens import Controls
from tasks.base import Task

IGNORED = -100  # torch's cross entropy skips targets with this value
TAIL = re.compile(r"\S*\s*$")
IN_NUMBERS = re.compile(r"(?<=\d) [.,] (?=\d)|^- (?=\d)")
"""The spaces that a tokenizer of whole words writes inside a number."""
PROBES = ("the", "a", "true", "yes", "no", "I", "A", "1")
"""Possible beginnings of answers; they show whether a prompt's last white space is a token of its own."""


@dataclass(frozen=True)
class Mask:
    """The mask token, as a template writes it and as an id."""

    text: str
    token: int


@dataclass(frozen=True)
class Text:
    """The tokenizer of one model with its special tokens, as ids.

    What it reads is text: a control token's name in a row makes no control token (see control_tokens.py). Only
    templates have control tokens of their own, after `marked`.

    - pad, eos: the padding and the end token. start: the decoder's first input.
    - room: the longest input in tokens; None for no limit. answer_room: the longest output of an encoder-decoder.
    - mask: the mask token of a masked encoder's tokenizer.
    - begin: the token that replaces an empty text.
    - ends: the tokens that end a generated text, `eos` among them.
    """

    tokenizer: Tokenizer
    pad: int
    eos: int | None
    start: int | None
    room: int | None
    mask: Mask | None = None
    begin: int | None = None
    ends: tuple[int, ...] = ()
    answer_room: int | None = None
    controls: Controls = field(default=Controls({}, None))
    model: str = "this model"

    def tell_apart(self, words: Sequence[str], spelt: Sequence[Sequence[int]], limit: int) -> None:
        """Raise UsageError for label words of the same tokens, or longer than `limit` with their end token."""
        answer_tokens.check_words(words, spelt, limit, self.model)

    def marked(self, task: Task) -> Task:
        """Return the task with its templates' own control tokens recognised."""
        spell = self.controls.marked
        return replace(task, template=spell(task.template), cloze=spell(task.cloze))

    def inputs(self, texts: Sequence[str], limit: int, keep: str = "start") -> tuple[list[list[int]], int]:
        """Return (token ids with the tokenizer's special tokens, number of texts that were cut).

        Rows are cut at `limit` and at `room`. keep: the part of a long text that remains, its "start" or its "end".
        """
        direction = "right" if keep == "start" else "left"
        self._truncate(limit if self.room is None else min(limit, self.room), direction)
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        return self._begun([encoding.ids for encoding in encodings]), sum(bool(e.overflowing) for e in encodings)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of the words alone, without special tokens."""
        self.tokenizer.no_truncation()
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def targets(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Return the token ids to produce, `ended` at `limit`."""
        return [self.ended(ids, limit) for ids in self.answers(texts)]

    def answers(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of whole answers, without an end token."""
        self.tokenizer.no_truncation()
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def ended(self, answer: Sequence[int], limit: int) -> list[int]:
        """Return an answer's token ids with eos, cut at `limit`; a longer answer has no end token.

        Raises UsageError for a model without an end token.
        """
        if self.eos is None:
            raise UsageError("this model has no end-of-text token, so it cannot produce an answer.")
        return [*answer, self.eos][:limit]

    def longest(self, limit: int) -> int:
        """Return the largest number of tokens of an answer, at most `limit`."""
        return limit if self.answer_room is None else min(limit, self.answer_room)

    def prompts(self, texts: Sequence[str], limit: int, spare: int) -> tuple[list[list[int]], int]:
        """Return (token ids to continue, without an end token; number of texts that were cut on the left).

        A row has at most `limit` tokens, and leaves room for `spare` more. White space at the end of a text that would
        form one token with the next word belongs to the answer (see `after`).
        """
        room = limit if self.room is None else min(limit, self.room - spare)
        if room < 1:
            raise UsageError(
                f"model {self.model} has {self.room} positions for a text and its answer, and "
                f"task.max_target_tokens={spare} leaves none for the text. Lower it to what the answers need, or take "
                "a model with more positions."
            )
        self.tokenizer.no_truncation()
        ended = self.tokenizer.encode("").ids[-1:] == [self.eos]  # T5's tokenizer appends the end token itself
        shortened = self._kept(texts)
        self._truncate(room + ended, "left")
        encodings = self.tokenizer.encode_batch_fast(shortened)
        rows = [encoding.ids[:-1] if ended else encoding.ids for encoding in encodings]
        return self._begun(rows), sum(bool(encoding.overflowing) for encoding in encodings)

    def continuations(self, pairs: Sequence[tuple[str, str]], limit: int) -> list[list[int]]:
        """Return for each (prompt, answer) the answer's token ids after the prompt, `ended` at `limit`."""
        return [self.ended(ids, limit) for ids in self.after(pairs)]

    def after(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Return for each (prompt, answer) the token ids of the whole answer after the prompt, without an end token.

        One space separates the two, none after white space. Prompt and answer are tokenised as one text.
        """
        known: dict[tuple[str, str], list[int]] = {}
        keys = [(TAIL.findall(prompt)[0], answer) for prompt, answer in pairs]
        for tail, answer in keys:
            if (tail, answer) not in known:  # tokens span white space, never several words
                known[tail, answer] = self._after(tail, answer)
        return [known[key] for key in keys]

    def around(self, texts: Sequence[str], limit: int, token: int) -> tuple[list[list[int]], int]:
        """Return (token ids with the special tokens, number of texts that were cut); the part nearest to `token`
        remains.
        """
        room = limit if self.room is None else min(limit, self.room)
        if room < 3:
            raise UsageError(
                f"an input of {room} tokens has no room for a mask between its first and its last token. Raise "
                "task.max_input_tokens, or take a model with more positions."
            )
        self.tokenizer.no_truncation()
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        return [_window(row, room, token) for row in rows], sum(len(row) > room for row in rows)

    def knows(self, token: int) -> bool:
        """Return whether a token is a word of the vocabulary, not the token for unknown words."""
        return token != self.controls.unknown and self.tokenizer.id_to_token(token) not in ("<unk>", "[UNK]", None)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return texts without special tokens. A number has no space inside it, where its tokens are the same without.

        A tokenizer of whole words writes 2.5 as "2 . 5", of which no metric makes a number.
        """
        texts: list[str] = self.tokenizer.decode_batch([list(row) for row in ids], skip_special_tokens=True)
        return [self._with_numbers(text) for text in texts]

    def _with_numbers(self, text: str) -> str:
        joined = IN_NUMBERS.sub(lambda match: match[0].strip(" "), text)
        return joined if joined == text or self.encode(joined) == self.encode(text) else text

    def written(self, texts: Sequence[str]) -> list[str]:
        """Return what `decode` makes of the tokens of texts. A text with a word that the model lacks stays as it is."""
        rows = self.answers(texts)
        known = [all(map(self.knows, row)) for row in rows]
        return [made if able else text for text, made, able in zip(texts, self.decode(rows), known, strict=True)]

    def _truncate(self, limit: int, direction: str) -> None:
        """Set the tokenizer's truncation. Raises UsageError where its special tokens alone exceed the limit."""
        own = self.tokenizer.num_special_tokens_to_add(False)
        if limit < max(own, 1):
            raise UsageError(
                f"an input of {limit} tokens is too short: the tokenizer's own tokens are {own}. Raise "
                "task.max_input_tokens, or take a method that adds fewer positions."
            )
        self.tokenizer.enable_truncation(limit, direction=direction)

    def _begun(self, rows: list[list[int]]) -> list[list[int]]:
        """Replace a text of no tokens by its begin token, since a model cannot read an empty input."""
        empty = next((place for place, row in enumerate(rows) if not row), None)
        if empty is None:
            return rows
        if self.begin is None:
            raise UsageError(
                f"text {empty + 1} of a split is empty, and this model has no token that begins or ends a text. "
                "Leave the row out."
            )
        return [row or [self.begin] for row in rows]

    def _kept(self, prompts: Sequence[str]) -> list[str]:
        """Return the prompts without white space at the end where it would form one token with the next word."""
        tails = {tail: self._stays(tail) for tail in {TAIL.findall(prompt)[0] for prompt in prompts}}
        return [prompt if tails[TAIL.findall(prompt)[0]] else prompt.rstrip() for prompt in prompts]

    def _stays(self, tail: str) -> bool:
        """Return whether the white space at the end of a tail is a token of its own before every probe."""
        before = self.encode(tail) if tail[-1:].isspace() else []
        return all(self.encode(tail + probe)[: len(before)] == before for probe in PROBES if before)

    def _after(self, tail: str, answer: str) -> list[int]:
        """Return the token ids of an answer after the last word of a prompt."""
        glue = "" if tail[-1:].isspace() else " "
        return answer_tokens.following(self.encode, self._kept([tail])[0], tail + glue + answer, answer)


def _window(ids: list[int], room: int, token: int) -> list[int]:
    """Return the first and the last token, and between them those around `token`."""
    if len(ids) <= room:
        return ids
    inner = room - 2
    first = min(max(ids.index(token) - inner // 2, 1), len(ids) - 1 - inner)
    return [ids[0], *ids[first : first + inner], ids[-1]]
