"""What is true in the microworld: synonyms, opposites, kinds and uses. Torch-free."""

from random import Random

from tasks.microworld import lexicon as lex

_POLE = {
    word: (scale, pole)
    for scale in (*lex.THING_SCALES, *lex.PERSON_SCALES)
    for pole, words in enumerate(scale)
    for word in words
}
KIND = (
    {animal: kind for animal, (kind, _) in lex.ANIMALS.items()}
    | dict(lex.FOODS)
    | {noun: kind for kind, (nouns, _) in lex.USES.items() for noun in nouns if kind not in ("food", "animal")}
    | dict.fromkeys(lex.FURNITURE, "furniture")
    | dict.fromkeys(lex.TOOLS, "tool")
)
PEOPLE = lex.WOMEN + lex.MEN
THINGS = tuple(lex.TOOLS) + tuple(lex.CLOTHES + lex.FURNITURE + lex.TOYS + lex.CONTAINERS + lex.INSTRUMENTS)


COUNTED = tuple(noun for noun in KIND if noun not in lex.MASS)


def synonym(word: str) -> str:
    """Return the other word for the same pole of a scale: big -> large."""
    scale, pole = _POLE[word]
    return next(other for other in scale[pole] if other != word)


def opposites(word: str) -> tuple[str, str]:
    """Return the two words of the other pole: big -> (small, little)."""
    scale, pole = _POLE[word]
    return scale[1 - pole]


def words_of(scales: tuple) -> list[str]:
    """Return all words of some scales."""
    return [word for scale in scales for pole in scale for word in pole]


def scale_of(word: str) -> tuple:
    """Return the scale of a word."""
    return _POLE[word][0]


def elsewhere(word: str, scales: tuple, rng: Random) -> str:
    """Return a word of another scale than that of `word`."""
    return rng.choice([other for other in words_of(scales) if scale_of(other) != scale_of(word)])


def he(name: str) -> str:
    """Return "she" or "he" for a person of this name."""
    return "she" if name in lex.WOMEN else "he"


def a(noun: str) -> str:
    """Return the noun with its article: a dog, an owl, some water."""
    if noun in lex.MASS:
        return f"some {noun}"
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def converse(comparative: str) -> str:
    """Return the opposite comparative: taller -> shorter."""
    for low, high in lex.COMPARATIVES:
        if comparative in (low, high):
            return high if comparative == low else low
    raise KeyError(comparative)
