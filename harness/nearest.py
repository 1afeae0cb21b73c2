"""Names that a person may have meant. Torch is not imported.

A name is recognised in another case (`LoRA`), by its last part (`rank` for `method.rank`, `sst2` for `glue/sst2`), by
the initials of its words (`lr` for `recipe.learning_rate`), by the words that it shares with what was typed
(`train_batch_size`), and by its spelling. The nearest kind of likeness wins.
"""

import difflib
import re
from collections.abc import Iterable, Mapping

MOST = 3
"""The most names that are suggested."""
ALIKE, TAIL_ALIKE = 0.5, 0.75
"""The similarity of spelling, from 0 to 1, above which a whole name is suggested, and the least of its last part.

Of short words half is not enough: two letters of `foo` make it half of `flops`.
"""


def closest(value: str, names: Iterable[str], also: Mapping[str, str] | None = None) -> list[str]:
    """Return at most three names, the most probable first; [] where none is like `value`.

    also: other words for a name, such as {"epochs": "recipe.steps"}; a value that is like such a word means its name.
    """
    if not value.strip():
        return []
    spelt = [*((name, name) for name in sorted(names)), *(also or {}).items()]
    for like in (_same, _same_tail, _initials):
        if matching := [name for text, name in spelt if like(_fold(value), _fold(text))]:
            return list(dict.fromkeys(matching))[:MOST]
    return [*dict.fromkeys([*_by_words(value, spelt), *_by_spelling(value, spelt)])][:MOST]


def _same(value: str, text: str) -> bool:
    return value == text


def _same_tail(value: str, text: str) -> bool:
    return _tail(text) == _tail(value)


def _initials(value: str, text: str) -> bool:
    words = _tail(text).split("_")
    return len(words) > 1 and "".join(word[:1] for word in words) == _tail(value)


def _by_words(value: str, spelt: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names that begin or end with the words of the value, or the other way round, the nearest first.

    The value may be the beginning of a word: `optim` for `optimizer`.
    """
    own = _tail(_fold(value)).split("_")
    shared = []
    for text, name in spelt:
        words = _tail(_fold(text)).split("_")
        few, many = sorted((own, words), key=len)
        if many[-len(few) :] == few or many[: len(few)] == few or words[-1].startswith("_".join(own)):
            shared.append((len(many) - len(few), -len(few), name))
    return [name for *_, name in sorted(shared)]


def _by_spelling(value: str, spelt: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names that are spelt alike, the most similar first."""
    wanted, ranked = _fold(value), []
    for text, name in spelt:
        whole, tail = _ratio(wanted, _fold(text)), _ratio(_tail(wanted), _tail(_fold(text)))
        if whole > ALIKE or tail >= TAIL_ALIKE:
            ranked.append((-max(whole, tail), name))
    return [name for _, name in sorted(ranked)]


def _ratio(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, word).ratio()


def _fold(text: str) -> str:
    """Return a name in lower case with `_` between its words."""
    return re.sub(r"[-\s]+", "_", text.strip().casefold())


def _tail(text: str) -> str:
    """Return the last part of a name: "method.rank" -> "rank", "glue/sst2" -> "sst2"."""
    return re.split(r"[./=]", text)[-1]
