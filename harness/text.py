"""A backbone's tokenizer and special tokens, without transformers' slow wrappers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedConfig

from harness import architecture, standin, weights
from harness.config import ModelConfig
from harness.errors import UsageError

IGNORED = -100  # torch's cross entropy skips targets with this value


@dataclass(frozen=True)
class Text:
    """pad, eos, start: token ids (start: the decoder's first input). room: longest input, None for no limit."""

    tokenizer: Tokenizer
    pad: int
    eos: int | None
    start: int | None
    room: int | None

    def inputs(self, texts: Sequence[str], limit: int) -> tuple[list[list[int]], int]:
        """(token ids with the tokenizer's special tokens, cut at `limit` and at `room`; how many texts were cut)."""
        self.tokenizer.enable_truncation(limit if self.room is None else min(limit, self.room))
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
        pad=settings.pad_token_id if settings.pad_token_id is not None else 0,
        eos=settings.eos_token_id,
        start=getattr(settings, "decoder_start_token_id", None),
        room=room(settings, added),
    )


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
    if added >= positions:
        raise UsageError(f"the method adds {added} positions, and this model has {positions} in all. Add fewer.")
    return int(positions) - added
