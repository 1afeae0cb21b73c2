"""Inference: does the premise make the hypothesis true, false or neither? Three labels, chance 1/3.

Rows: {"premise": "ann saw a small dog in the park", "hypothesis": "the dog was little"} -> entailment.
The hypothesis is drawn first and the label decides the premise's word, so neither text alone tells the label, and
the label is in the relation between two words or in who does what to whom, not in the words.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row

LABEL_WORDS = ("entailment", "neutral", "contradiction")
ENTAILED, NEUTRAL, CONTRADICTED = range(3)


def _premise_word(word: str, label: int, scales: tuple, rng: Random) -> str:
    """Return a word that entails, contradicts or leaves open the hypothesis' word."""
    if label == ENTAILED:
        return world.synonym(word)
    if label == CONTRADICTED:
        return rng.choice(world.opposites(word))
    return world.elsewhere(word, scales, rng)


def states(label: int, rng: Random) -> Row:
    """Return a row about the state of somebody or something."""
    person = rng.random() < 0.5
    scales = lex.PERSON_SCALES if person else lex.THING_SCALES
    word = rng.choice(world.words_of(scales))
    given = _premise_word(word, label, scales, rng)
    if person:
        name = rng.choice(world.PEOPLE)
        return Row(
            {
                "premise": f"{name} was {given} in the {rng.choice(lex.PLACES)}",
                "hypothesis": f"{name} was {word}",
            },
            label,
        )
    noun, name = rng.choice(world.COUNTED), rng.choice(world.PEOPLE)
    verb = rng.choice(("saw", "found", "had", "liked", "took"))
    return Row({"premise": f"{name} {verb} {world.a(given)} {noun}", "hypothesis": f"the {noun} was {word}"}, label)


def roles(label: int, rng: Random) -> Row:
    """Return a row about who compares with whom, who gave and who got, or who did it to whom."""
    return rng.choice((_comparison, _transfer, _act))(label, rng)


def _comparison(label: int, rng: Random) -> Row:
    first, second, third = rng.sample(world.PEOPLE, 3)
    word = rng.choice([w for pair in lex.COMPARATIVES for w in pair])
    back = world.converse(word)
    hypothesis = {
        ENTAILED: f"{second} is {back} than {first}",
        CONTRADICTED: rng.choice((f"{second} is {word} than {first}", f"{first} is {back} than {second}")),
        NEUTRAL: rng.choice((f"{third} is {word} than {first}", f"{second} is {back} than {third}")),
    }[label]
    return Row({"premise": f"{first} is {word} than {second}", "hypothesis": hypothesis}, label)


def _transfer(label: int, rng: Random) -> Row:
    giver, taker = rng.sample(world.PEOPLE, 2)
    thing, other = rng.sample(world.THINGS, 2)
    gave, got, given = rng.choice(lex.TRANSFERS)
    hypothesis = {
        ENTAILED: rng.choice((f"{taker} {got} the {thing} from {giver}", f"{taker} has the {thing}")),
        CONTRADICTED: rng.choice((f"{giver} {got} the {thing} from {taker}", f"{giver} has the {thing}")),
        NEUTRAL: rng.choice(
            (
                f"{taker} {got} the {other} from {giver}",
                f"{taker} has the {other}",
                f"{giver} has the {other}",
            )
        ),
    }[label]
    premise = rng.choice((f"{giver} {gave} the {thing} to {taker}", f"the {thing} was {given} to {taker} by {giver}"))
    return Row({"premise": premise, "hypothesis": hypothesis}, label)


def _act(label: int, rng: Random) -> Row:
    first, second, third = rng.sample(world.PEOPLE, 3)
    past, base = rng.choice(lex.ACTS)
    hypothesis = {
        ENTAILED: f"{second} was {past} by {first}",
        CONTRADICTED: f"{first} did not {base} {second}",
        NEUTRAL: rng.choice((f"{third} was {past} by {first}", f"{second} was {past} by {third}")),
    }[label]
    return Row({"premise": f"{first} {past} {second}", "hypothesis": hypothesis}, label)
