"""A backbone's tokenizer and special tokens, without transformers' slow wrappers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedConfig

from harness import architecture, standin, weights
from harness.config import ModelConfig
from harness.errors import UsageError

IGNORED = -100  # torch's cross entropy skips targets with this value


MASKS = ("<mask>", "[MASK]")  # as tokenizers of masked encoders write it
TAIL = re.compile(r"\S*\s*$")
MINUS_INDEXED = ("roberta", "xlm-roberta", "camembert")  # their first position has the number pad + 1


@dataclass(frozen=True)
class Mask:
    """The mask token, as text and as an id."""

    text: str
    token: int


@dataclass(frozen=True)
class Text:
    """pad, eos, start: token ids (start: the decoder's first input). room: longest input, None for no limit.

    mask: the mask token of a masked encoder's tokenizer.
    """

    tokenizer: Tokenizer
    pad: int
    eos: int | None
    start: int | None
    room: int | None
    mask: Mask | None = None

    def inputs(self, texts: Sequence[str], limit: int, keep: str = "start") -> tuple[list[list[int]], int]:
        """(token ids with the tokenizer's special tokens, cut at `limit` and at `room`; how many texts were cut).

        keep: what stays of a text that is cut, its "start" or its "end".
        """
        direction = "right" if keep == "start" else "left"
        self.tokenizer.enable_truncation(limit if self.room is None else min(limit, self.room), direction=direction)
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        return [encoding.ids for encoding in encodings], sum(bool(e.overflowing) for e in encodings)

    def encode(self, text: str) -> list[int]:
        """Token ids of the words alone, without special tokens."""
        self.tokenizer.no_truncation()
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def targets(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Token ids to produce, each ending with eos; at most `limit`, eos included."""
        if self.eos is None:
            raise UsageError("this model has no end-of-text token, so it cannot produce an answer.")
        self.tokenizer.no_truncation()
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[*encoding.ids[: limit - 1], self.eos] for encoding in encodings]

    def prompts(self, texts: Sequence[str], limit: int, spare: int) -> tuple[list[list[int]], int]:
        """(token ids to go on from, without an end token; how many texts were cut, on the left).

        At most `limit` tokens, and so many that `spare` more have room.
        """
        room = limit if self.room is None else min(limit, self.room - spare)
        if room < 1:
            raise UsageError(f"this model has room for {self.room} tokens, and the answers may take {spare} of them.")
        self.tokenizer.no_truncation()
        ended = self.tokenizer.encode("").ids[-1:] == [self.eos]  # by the tokenizer, as T5's does
        self.tokenizer.enable_truncation(room + ended, direction="left")
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        rows = [encoding.ids[:-1] if ended else encoding.ids for encoding in encodings]
        return rows, sum(bool(encoding.overflowing) for encoding in encodings)

    def continuations(self, pairs: Sequence[tuple[str, str]], limit: int) -> list[list[int]]:
        """For (prompt, answer): the answer's token ids where it follows the prompt, each ending with eos; at most
        `limit`, eos included. One space comes between the two, none after white space.
        """
        if self.eos is None:
            raise UsageError("this model has no end-of-text token, so it cannot produce an answer.")
        known: dict[tuple[str, str], list[int]] = {}
        keys = [(TAIL.findall(prompt)[0], answer) for prompt, answer in pairs]
        for tail, answer in keys:
            if (tail, answer) not in known:  # tokens reach across white space, never across words
                known[tail, answer] = self._after(tail, answer)[: limit - 1]
        return [[*known[key], self.eos] for key in keys]

    def around(self, texts: Sequence[str], limit: int, token: int) -> tuple[list[list[int]], int]:
        """(token ids with the special tokens; how many texts were cut): what is nearest to `token` stays."""
        room = limit if self.room is None else min(limit, self.room)
        self.tokenizer.no_truncation()
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        return [_window(row, room, token) for row in rows], sum(len(row) > room for row in rows)

    def knows(self, token: int) -> bool:
        """Whether it is a word of the vocabulary, not the sign for an unknown one."""
        return self.tokenizer.id_to_token(token) not in ("<unk>", "[UNK]", None)

    def _after(self, tail: str, answer: str) -> list[int]:
        glue = "" if tail[-1:].isspace() else " "
        before, whole = self.encode(tail), self.encode(tail + glue + answer)
        return whole[len(before) :] if whole[: len(before)] == before else self.encode(answer)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts without special tokens."""
        return self.tokenizer.decode_batch([list(row) for row in ids], skip_special_tokens=True)


def load(config: ModelConfig, added: int = 0) -> Text:
    """The tokenizer that belongs to a model. `added`: positions that the method takes for itself."""
    settings = architecture.read(config)
    tokenizer = _tokenizer(weights.tokenizer_folder(config), settings)
    tokenizer.no_padding()
    return Text(
        tokenizer,
        pad=padding(settings),
        eos=_first(settings.eos_token_id),
        start=getattr(settings, "decoder_start_token_id", None),
        room=room(settings, added),
        mask=_mask(tokenizer),
    )


def padding(settings: PreTrainedConfig) -> int:
    """The padding token: the model's own, else its end token, which is the last of a text at most."""
    own, end = settings.pad_token_id, _first(settings.eos_token_id)
    return own if own is not None else end or 0


def _first(token: int | list[int] | None) -> int | None:
    """Some models have several end tokens; the first is the one that ends a text."""
    return token[0] if isinstance(token, list) else token


def _mask(tokenizer: Tokenizer) -> Mask | None:
    found = ((sign, tokenizer.token_to_id(sign)) for sign in MASKS)
    return next((Mask(sign, token) for sign, token in found if token is not None), None)


def _window(ids: list[int], room: int, token: int) -> list[int]:
    """The first and the last token, and between them those around `token`."""
    if len(ids) <= room:
        return ids
    inner = room - 2
    first = min(max(ids.index(token) - inner // 2, 1), len(ids) - 1 - inner)
    return [ids[0], *ids[first : first + inner], ids[-1]]


def _tokenizer(folder: Path | None, settings: PreTrainedConfig) -> Tokenizer:
    if folder is None:
        return standin.tokenizer(settings.vocab_size)
    file = folder / "tokenizer.json"
    if file.is_file():
        return Tokenizer.from_file(str(file))
    return AutoTokenizer.from_pretrained(folder).backend_tokenizer  # older formats are converted, which takes seconds


def room(settings: PreTrainedConfig, added: int) -> int | None:
    """Positions left for the text; None where the model has no table of positions. UsageError where none is left."""
    positions = getattr(settings, "max_position_embeddings", None)
    if positions is None:
        return None
    if settings.model_type in MINUS_INDEXED:
        positions -= (settings.pad_token_id or 0) + 1
    if added >= positions:
        raise UsageError(f"the method adds {added} positions, and this model has {positions} in all. Add fewer.")
    return int(positions) - added
