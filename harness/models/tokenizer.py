"""Loading a backbone's tokenizer, its special tokens and its positions, without transformers' slow wrappers."""

import os
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedConfig

from harness import failure
from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.files import plain_files
from harness.models import architecture, control_tokens, digest, weight_files
from harness.models.control_tokens import Controls
from harness.models.text_tokens import Mask, Text

MASKS = ("<mask>", "[MASK]")  # the spellings of masked encoders' tokenizers
MINUS_INDEXED = ("roberta", "xlm-roberta", "camembert")  # their positions start at pad + 1
ENCODER_POSITIONS = ("max_encoder_position_embeddings", "max_source_positions", "max_position_embeddings")
DECODER_POSITIONS = ("max_decoder_position_embeddings", "max_target_positions", "max_position_embeddings")


def load(config: ModelConfig, added: int = 0) -> Text:
    """Return the tokenizer of a model. added: the positions that the method uses for itself."""
    settings = architecture.read(config)
    tokenizer, names = control_tokens.closed(_tokenizer(weight_files.tokenizer_folder(config), settings))
    start = _known(getattr(settings, "decoder_start_token_id", None), settings)
    eos, ends = _ends(config, settings)
    begin = _known(getattr(settings, "bos_token_id", None), settings)
    return Text(
        tokenizer,
        pad=padding(settings),
        eos=eos,
        start=start,
        room=room(settings, added),
        mask=_mask(tokenizer, names),
        begin=eos if begin is None else begin,
        ends=ends,
        answer_room=None if start is None else _positions(settings, DECODER_POSITIONS),
        controls=names,
        model=config.name,
    )


def padding(settings: PreTrainedConfig) -> int:
    """Return the padding token: the model's own, else its end token, which occurs at most once at the end of a text.

    An id outside the vocabulary (-1, as in early conversions of LLaMA) is no token.
    """
    own, ends = _known(settings.pad_token_id, settings), _listed(settings.eos_token_id, settings)
    if own is None and settings.model_type in MINUS_INDEXED:
        raise UsageError(
            f"its config.json has pad_token_id={settings.pad_token_id}, and {settings.model_type} counts its positions "
            "from that token's number. Set pad_token_id to the tokenizer's padding token."
        )
    return own if own is not None else next(iter(ends), 0)


def _known(token: int | None, settings: PreTrainedConfig) -> int | None:
    """Return the token; None where its id is outside the vocabulary."""
    size = getattr(settings, "vocab_size", None)
    return token if token is not None and token >= 0 and (size is None or token < size) else None


def _listed(tokens: int | Sequence[int] | None, settings: PreTrainedConfig) -> list[int]:
    """Return the known tokens of one id or a list of ids."""
    listed = tokens if isinstance(tokens, Sequence) else [tokens]
    return [token for token in listed if _known(token, settings) is not None]  # type: ignore[misc]


def _ends(config: ModelConfig, settings: PreTrainedConfig) -> tuple[int | None, tuple[int, ...]]:
    """Return (the token that training uses as the end of an answer, all tokens that end a generated text).

    Those of generation_config.json come before those of config.json, as in transformers' generation.
    """
    own = _listed(settings.eos_token_id, settings)
    generation = None if weight_files.bare(config) else digest.generation_ends(weight_files.folder(config))
    ends = _listed(generation, settings) or own
    eos = next((token for token in own if token in ends), ends[0] if ends else None)
    return eos, tuple(dict.fromkeys(ends))


def _mask(tokenizer: Tokenizer, names: Controls) -> Mask | None:
    """Return the tokenizer's mask token; None where it has none."""
    own = (names.names.get(sign, sign) for sign in MASKS)
    tokens = ((sign, tokenizer.token_to_id(sign)) for sign in own)
    return next((Mask(sign, token) for sign, token in tokens if token is not None), None)


def _tokenizer(folder: Path | None, settings: PreTrainedConfig) -> Tokenizer:
    """Return the tokenizer in a folder, or the byte tokenizer without one. Raises UsageError where it
    cannot be read.
    """
    if folder is None:
        return tokenizer(settings.vocab_size)
    try:
        for name in (*digest.TOKENIZER_FILES, digest.MERGES):
            if os.path.lexists(folder / name):
                plain_files.check_plain(folder / name, linked=True)
        file = folder / "tokenizer.json"
        if file.is_file():
            return Tokenizer.from_file(str(file))
        return AutoTokenizer.from_pretrained(folder).backend_tokenizer  # converting an older format takes seconds
    except Exception as error:  # tokenizers raises plain Exception, transformers many kinds
        if failure.is_disk_error(error):
            raise
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder}: its tokenizer cannot be read ({reason:.200}). Get it again.") from error


def room(settings: PreTrainedConfig, added: int) -> int | None:
    """Return the positions left for the text; None where the model has no table of positions.

    Raises UsageError where none is left.
    """
    positions = _positions(settings, ENCODER_POSITIONS)
    if positions is None:
        return None
    if settings.model_type in MINUS_INDEXED:
        positions -= (settings.pad_token_id or 0) + 1
    if added >= positions:
        raise UsageError(f"the method adds {added} positions, and this model has {positions} in all. Add fewer.")
    return positions - added


def _positions(settings: PreTrainedConfig, names: Sequence[str]) -> int | None:
    """Return the size of the first table of positions that the configuration has; None without one."""
    size = next((value for name in names if (value := getattr(settings, name, None)) is not None), None)
    return int(size) if size is not None and size > 0 else None  # DeBERTa and others write -1 or 0 for no table


MASK, FIRST = 299, 300  # the mask token, then 256 bytes


def tokenizer(vocabulary: int) -> Tokenizer:
    """Return a tokenizer of bytes as ids FIRST to FIRST + 255. Raises UsageError where the vocabulary is too small for
    them.
    """
    if vocabulary < FIRST + 256:
        raise UsageError(
            f"a vocabulary of {vocabulary} has no room for text as bytes ({FIRST + 256}); give model.tokenizer=FOLDER."
        )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({"<mask>": MASK, **{sign: FIRST + i for i, sign in enumerate(alphabet)}}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<mask>"])
    return made
