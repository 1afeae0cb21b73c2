"""Control tokens that no text can spell. Torch-free.

A tokenizer finds the names of its control tokens (`</s>`, `<mask>`, `[SEP]`, `<|endoftext|>`) in any text, and many
hold them among their words as well, so a row that mentions one would end or be masked in its midst. Here the control
tokens keep their numbers and get names that no text has, in the list of added tokens and in the vocabulary alike. Only
a template writes control tokens: `Controls.marked` translates their names in it.
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
"""Code points that Unicode keeps for internal use: they are in no text, and no tokenizer's word has them."""


@dataclass(frozen=True)
class Controls:
    """names: what a control token is called -> its name here. unknown: the token of what the vocabulary lacks."""

    names: Mapping[str, str]
    unknown: int | None

    def marked(self, template: str) -> str:
        """The template with its own control tokens under the names that they have here."""
        known = sorted((name for name in self.names if "{" not in name and "}" not in name), key=len, reverse=True)
        if not known:
            return template
        return re.sub("|".join(map(re.escape, known)), lambda found: self.names[found[0]], template)


def closed(tokenizer: Tokenizer) -> tuple[Tokenizer, Controls]:
    """Return the same tokenizer with other names for its control tokens, and these names."""
    plan = json.loads(tokenizer.to_str())
    added, model = plan["added_tokens"], plan["model"]
    held = set(_words(model))
    special = [one["content"] for one in added if one["special"]]
    loose = [name for name in USUAL if name in held and name not in {one["content"] for one in added}]
    names = {name: _spelt(number) for number, name in enumerate([*special, *loose])}
    added += [_added(name) for name in loose]
    for one in added:
        if one["content"] in names:
            one |= {"content": names[one["content"]], "normalized": False}
    unknown = _unknown(model, tokenizer)
    _rename(model, names)
    return Tokenizer.from_str(json.dumps(plan)), Controls(names, unknown)


def _spelt(number: int) -> str:
    digits = [number // DIGITS**place % DIGITS for place in range(4)]
    return "".join(chr(FIRST + digit) for digit in digits)


def _added(name: str) -> dict[str, Any]:
    """It is in the vocabulary, which says its number."""
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": 0, "content": name, "special": True, **plain}


def _words(model: Mapping[str, Any]) -> Sequence[str]:
    vocabulary = model["vocab"]
    return list(vocabulary) if isinstance(vocabulary, dict) else [word for word, _ in vocabulary]


def _unknown(model: Mapping[str, Any], tokenizer: Tokenizer) -> int | None:
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    name = model.get("unk_token")
    found: int | None = tokenizer.token_to_id(name) if name else None
    return found


def _rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """In the vocabulary; merges that would make a control token of text are taken out."""
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
    """The two tokens of a merge, and what they become."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return {left, right, left + right.removeprefix(prefix)}
