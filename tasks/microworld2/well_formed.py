"""Acceptability: is a sentence well formed? Chance 1/2.

Rows: {"sentence": "on monday ann did not chased tom in the park"} -> unacceptable. The level is how far apart the words
are that do not go together: two neighbours in the wrong order; an article or a verb's form; a verb and its
preposition; a pronoun and its name.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row

LABEL_WORDS = ("unacceptable", "acceptable")


def acceptability(label: int, level: int, rng: Random) -> Row:
    """Return a sentence that is well formed (label 1) or not."""
    good = label == 1
    sentence = (_placed, _formed, _framed, _referred)[level - 1](good, rng)
    return Row({"sentence": f"on {rng.choice(lex.DAYS)} {sentence} in the {rng.choice(lex.PLACES)}"}, label)


def _event(rng: Random) -> list[str]:
    """Return the words of who gave what to whom."""
    first, second = rng.sample(world.PEOPLE, 2)
    gave, got, given = rng.choice(lex.TRANSFERS)
    what = f"the {rng.choice(world.words_of(lex.THING_SCALES))} {rng.choice(world.THINGS)}"
    sentences = (
        f"{first} {gave} {what} to {second}",
        f"{second} {got} {what} from {first}",
        f"{what} was {given} to {second} by {first}",
    )
    return rng.choice(sentences).split()


def _placed(good: bool, rng: Random) -> str:
    """Return a sentence, two neighbours of which stand in the wrong order unless it is good."""
    words = _event(rng)
    if not good:
        at = rng.randrange(len(words) - 1)
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _formed(good: bool, rng: Random) -> str:
    """Return a sentence with a verb or an article whose form is wrong unless it is good."""
    first, second = rng.sample(world.PEOPLE, 2)
    past, base = rng.choice((*lex.ACTS,))
    noun = rng.choice(world.COUNTED)
    right, wrong = rng.choice(
        (
            (f"{first} did not {base} {second}", f"{first} did not {past} {second}"),
            (f"{first} was {past} by {second}", f"{first} was {base} by {second}"),
            (f"{first} had {world.a(noun)} and {past} {second}", f"{first} had {world.a(noun)} and {base} {second}"),
            (
                f"{first} {past} {second} near {world.a(noun)}",
                f"{first} {past} {second} near {'a' if world.a(noun).startswith('an') else 'an'} {noun}",
            ),
        )
    )
    return right if good else wrong


def _framed(good: bool, rng: Random) -> str:
    """Return a sentence whose verb has another verb's preposition unless it is good."""
    first, second = rng.sample(world.PEOPLE, 2)
    gave, got, given = rng.choice(lex.TRANSFERS)
    what = f"the {rng.choice(world.words_of(lex.THING_SCALES))} {rng.choice(world.THINGS)}"
    gives, gets = ("to", "from") if good else ("from", "to")
    ways = (f"{first} {gave} {what} {gives} {second}", f"{first} {got} {what} {gets} {second}")
    return rng.choice((*ways, f"{what} was {given} {gives} {second} by {first}"))


def _referred(good: bool, rng: Random) -> str:
    """Return a sentence with a pronoun that does not go with its name unless it is good."""
    name = rng.choice(world.PEOPLE)
    first, second = rng.sample([step for script in lex.SCRIPTS for step in script], 2)
    he = world.he(name) if good else {"he": "she", "she": "he"}[world.he(name)]
    return rng.choice(
        (
            f"{name} {first} before {he} {second}",
            f"after {he} {first} {name} {second}",
            f"{name} {first} and then {he} {second}",
        )
    )
