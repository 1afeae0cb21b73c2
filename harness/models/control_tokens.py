"""Control tokens that no text can spell. Torch is not imported.

A tokenizer recognises the names of its control tokens (`</s>`, `<mask>`, `[SEP]`, `<|endoftext|>`) in any text, and
many have them in their vocabulary as well. A row that mentions one would therefore end or be masked in the middle. Here
the control tokens keep their ids and get names that no text contains, in the list of added tokens and in the vocabulary
alike. Only a template writes control tokens: `Controls.marked` translates their names in it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

USUAL = (
    "<s>", "</s>", "<pad>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<|endoftext|>",
)  # fmt: skip
"""Names of control tokens that a vocabulary may hold without marking them as special."""
FIRST, DIGITS = 0xFDD0, 32
"""Code points that Unicode reserves for internal use: no text contains them, and no tokenizer's word does."""


@dataclass(frozen=True)
class Controls:
    """The renamed control tokens.

    names: a control token's original name -> its new name. unknown: the id of the token for unknown words.
    """

    names: Mapping[str, str]
    unknown: int | None

    def marked(self, template: str) -> str:
        """Return the template with its control tokens under their new names."""
        known = sorted((name for name in self.names if "{" not in name and "}" not in name), key=len, reverse=True)
        if not known:
            return template
        return re.sub("|".join(map(re.escape, known)), lambda match: self.names[match[0]], template)


def closed(tokenizer: Tokenizer) -> tuple[Tokenizer, Controls]:
    """Return the same tokenizer with other names for its control tokens, and these names.

    It neither pads nor cuts: some files ask for 128 tokens of every text, and rows are padded and cut by their batch.
    """
    plan = json.loads(tokenizer.to_str()) | {"padding": None, "truncation": None}
    added, model = plan["added_tokens"], plan["model"]
    vocabulary = set(_words(model))
    special = [token["content"] for token in added if token["special"]]
    loose = [name for name in USUAL if name in vocabulary and name not in {token["content"] for token in added}]
    names = {name: _spelt(number) for number, name in enumerate([*special, *loose])}
    added += [_added(name) for name in loose]
    for token in added:
        if token["content"] in names:
            token |= {"content": names[token["content"]], "normalized": False}
    unknown = _unknown(model, tokenizer)
    _rename(model, names)
    return Tokenizer.from_str(json.dumps(plan)), Controls(names, unknown)


def _spelt(number: int) -> str:
    """Return the name of the control token with this number, of four reserved code points."""
    digits = [number // DIGITS**place % DIGITS for place in range(4)]
    return "".join(chr(FIRST + digit) for digit in digits)


def _added(name: str) -> dict[str, Any]:
    """Return an entry for the list of added tokens; the vocabulary determines its id."""
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": 0, "content": name, "special": True, **plain}


def _words(model: Mapping[str, Any]) -> Sequence[str]:
    """Return the words of a tokenizer model's vocabulary."""
    vocabulary = model["vocab"]
    return list(vocabulary) if isinstance(vocabulary, dict) else [word for word, _ in vocabulary]


def _unknown(model: Mapping[str, Any], tokenizer: Tokenizer) -> int | None:
    """Return the id of the token for unknown words; None where there is none."""
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    name = model.get("unk_token")
    token: int | None = tokenizer.token_to_id(name) if name else None
    return token


def _rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """Rename the control tokens in the vocabulary, and remove merges that would make one out of text."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(word, word): token for word, token in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(word, word), score] for word, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [pair for pair in model["merges"] if not names.keys() & _made(pair, prefix)]


def _made(pair: str | Sequence[str], prefix: str) -> set[str]:
    """Return the two tokens of a merge and the one that they become."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return {left, right, left + right.removeprefix(prefix)}
