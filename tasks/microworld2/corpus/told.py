"""Short texts with claims about them: which are true, which are false, and which the text leaves open.

The corpus says so in several ways (telling.py, judged.py). The tasks have makers and wordings of their own, so that
they may change while the corpus stays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world

QUANTIFIED = "pet beast bird fish insect fruit vegetable dessert garment vehicle toy instrument container".split()
SEEN = ("saw", "found", "had", "liked", "took")


@dataclass(frozen=True)
class Told:
    """text: one to five sentences, without the last full stop; and claims about them, each without one."""

    text: str
    true: tuple[str, ...]
    false: tuple[str, ...]
    open: tuple[str, ...] = ()


def members(kind: str) -> list[str]:
    """Return the things of a kind that can be counted."""
    return [noun for noun, of in world.KIND.items() if of == kind and noun not in lex.MASS]


def listed(parts: list[str]) -> str:
    """Return parts as one list: "a dog", "a dog and a cat", "a dog , a cat and an owl"."""
    return " and ".join(filter(None, (" , ".join(parts[:-1]), parts[-1])))


def people(rng: Random) -> Told:
    """Return a text that tells how some people were."""
    names = rng.sample(world.PEOPLE, rng.choice((1, 2, 2, 3)))
    words = [rng.choice(world.words_of(lex.PERSON_SCALES)) for _ in names]
    true, false, unknown = list[str](), list[str](), list[str]()
    for name, word in zip(names, words, strict=True):
        true += [f"{name} was {world.synonym(word)}", f"{name} was not {rng.choice(world.opposites(word))}"]
        false += [f"{name} was {rng.choice(world.opposites(word))}", f"{name} was not {world.synonym(word)}"]
        others = [other for other in words if world.scale_of(other) != world.scale_of(word)]
        unknown.append(f"{name} was {rng.choice(others or [world.elsewhere(word, lex.PERSON_SCALES, rng)])}")
    sentences = (f"{name} was {word}" for name, word in zip(names, words, strict=True))
    return Told(" . ".join(sentences), tuple(true), tuple(false), tuple(unknown))


def things(rng: Random) -> Told:
    """Return a text that tells how some things were that somebody saw."""
    name, verb = rng.choice(world.PEOPLE), rng.choice(SEEN)
    nouns = rng.sample(world.COUNTED, rng.choice((1, 2, 2, 3)))
    words = [rng.choice(world.words_of(lex.THING_SCALES)) for _ in nouns]
    true, false, unknown = list[str](), list[str](), list[str]()
    for noun, word in zip(nouns, words, strict=True):
        same, against = world.synonym(word), rng.choice(world.opposites(word))
        true += [
            f"the {noun} was {same}",
            f"{name} {verb} {world.a(same)} {world.KIND[noun]}",
            f"the {noun} was not {against}",
        ]
        false += [f"the {noun} was {against}", f"the {noun} was not {same}"]
        others = [other for other in words if world.scale_of(other) != world.scale_of(word)]
        unknown.append(f"the {noun} was {rng.choice(others or [world.elsewhere(word, lex.THING_SCALES, rng)])}")
    seen = [f"{world.a(word)} {noun}" for noun, word in zip(nouns, words, strict=True)]
    return Told(f"{name} {verb} {listed(seen)}", tuple(true), tuple(false), tuple(unknown))


def rules(rng: Random) -> Told:
    """Return a text that tells what holds for every thing of a kind, or for none, and who had which."""
    kinds = rng.sample(QUANTIFIED, rng.choice((2, 2, 3)))
    names, nouns = rng.sample(world.PEOPLE, len(kinds)), [rng.choice(members(kind)) for kind in kinds]
    sentences, true, false, unknown = list[str](), list[str](), list[str](), list[str]()
    ruled = rng.sample(range(len(kinds)), len(kinds) - rng.randrange(2))
    for at in ruled:
        word = rng.choice(world.words_of(lex.THING_SCALES))
        same, against, thing = world.synonym(word), rng.choice(world.opposites(word)), f"the {nouns[at]} was"
        if rng.random() < 0.5:
            sentences.append(f"every {kinds[at]} was {word}")
            true += [f"{thing} {word}", f"{thing} {same}", f"{thing} not {against}"]
            false += [f"{thing} {against}", f"{thing} not {word}"]
        else:
            sentences.append(f"no {kinds[at]} was {word}")
            true += [f"{thing} not {word}", f"{thing} not {same}"]
            false += [f"{thing} {word}", f"{thing} {same}"]
        rest = [i for i in range(len(kinds)) if i != at]
        unknown.append(
            f"the {nouns[rng.choice(rest)]} was {rng.choice(('', 'not '))}{world.elsewhere(word, lex.THING_SCALES, rng)}"
        )
    owned = [f"{name} had {world.a(noun)}" for name, noun in zip(names, nouns, strict=True)]
    return Told(
        " . ".join([*sentences, listed(owned)]), tuple(true), tuple(false), tuple(unknown) if len(ruled) == 1 else ()
    )


def compared(rng: Random) -> Told:
    """Return a text that tells who is more of something than whom, in up to three steps."""
    chain = rng.sample(world.PEOPLE, rng.choice((2, 3, 3, 4)))
    *chain, outsider = chain if len(chain) > 2 and rng.random() < 0.3 else [*chain, ""]
    word = rng.choice([w for pair in lex.COMPARATIVES for w in pair])
    back = world.converse(word)

    def says(high: str, low: str) -> str:
        return rng.choice((f"{high} is {word} than {low}", f"{low} is {back} than {high}"))

    steps = [says(high, low) for high, low in pairwise(chain)]
    pairs = [(a, b) for i, a in enumerate(chain) for b in chain[i + 1 :]]
    other = outsider or rng.choice([name for name in world.PEOPLE if name not in chain])
    return Told(
        " . ".join(rng.sample(steps, len(steps))),
        tuple(says(*pair) for pair in pairs),
        tuple(says(low, high) for high, low in pairs),
        tuple(says(*rng.sample((other, name), 2)) for name in chain[:2]),
    )


def handed(rng: Random) -> Told:
    """Return a text that tells who gave a thing to whom, once or twice."""
    hands = rng.sample(world.PEOPLE, rng.choice((2, 2, 3)))
    thing, other = rng.sample(world.THINGS, 2)
    sentences, true, false = list[str](), list[str](), list[str]()
    for giver, taker in pairwise(hands):
        gave, got, given = rng.choice(lex.TRANSFERS)
        ways = [
            f"{giver} {gave} the {thing} to {taker}",
            f"{taker} {got} the {thing} from {giver}",
            f"the {thing} was {given} to {taker} by {giver}",
        ]
        facts, *rest = rng.sample(ways, 3)
        sentences.append(facts)
        true.append(rest[0])
        false += [f"{giver} {got} the {thing} from {taker}", f"{giver} has the {thing}"]
    true.append(f"{hands[-1]} has the {thing}")
    return Told(
        " . then ".join(sentences), tuple(true), tuple(false), tuple(f"{name} has the {other}" for name in hands[:2])
    )


def done(rng: Random) -> Told:
    """Return a text that tells who did something to whom, once or twice."""
    names = rng.sample(world.PEOPLE, 4)
    sentences, true, false, unknown = list[str](), list[str](), list[str](), list[str]()
    for first, second in ((names[0], names[1]), (names[2], names[3]))[: rng.choice((1, 2))]:
        past, base = rng.choice(lex.ACTS)
        ways = [f"{first} {past} {second}", f"{second} was {past} by {first}", f"it was {first} who {past} {second}"]
        facts, *rest = rng.sample(ways, 3)
        sentences.append(facts)
        true += rest
        false += [f"{first} did not {base} {second}", f"{second} was not {past} by {first}"]
        unknown += [f"{second} {past} {first}", f"{first} was {past} by {second}"]
    return Told(" . ".join(sentences), tuple(true), tuple(false), tuple(unknown))


def moved(rng: Random) -> Told:
    """Return a text that tells who went where, some twice, and who carried what."""
    names, places = rng.sample(world.PEOPLE, rng.choice((2, 2, 3))), rng.sample(lex.PLACES, 4)
    thing = rng.choice(world.THINGS)
    steps = [(name, places[i]) for i, name in enumerate(names)]
    steps += [(rng.choice(names), places[3])] if rng.random() < 0.6 else []
    sentences = [f"{name} {rng.choice(lex.MOVES)[0]} to the {place}" for name, place in steps]
    carrier, at = rng.choice(names), dict(steps)
    sentences.insert(rng.randrange(len(sentences) + 1), f"{carrier} {rng.choice(lex.TAKES)[0]} the {thing}")
    last = {
        name: index for index, sentence in enumerate(sentences) for name in names if sentence.startswith(f"{name} ")
    }
    taken = sentences.index(next(sentence for sentence in sentences if sentence.endswith(f"the {thing}")))
    true = [f"{name} is in the {place}" for name, place in at.items()]
    true += [f"{carrier} has the {thing}"] + [f"the {thing} is in the {at[carrier]}"] * (last[carrier] > taken)
    false = [f"{name} is in the {rng.choice([p for _, p in steps if p != place])}" for name, place in at.items()]
    false.append(f"{rng.choice([name for name in names if name != carrier])} has the {thing}")
    outsider = rng.choice([name for name in world.PEOPLE if name not in names])
    return Told(" . ".join(sentences), tuple(true), tuple(false), (f"{outsider} is in the {steps[0][1]}",))


def arranged(rng: Random) -> Told:
    """Return a text that tells in which order somebody did two or three things."""
    name = rng.choice(world.PEOPLE)
    he = world.he(name)
    did = rng.sample([step for script in lex.SCRIPTS for step in script], rng.choice((2, 2, 3)))
    text = rng.choice(
        (
            f"{name} {did[0]} . then {he} {did[1]}",
            f"{name} {did[0]} before {he} {did[1]}",
            f"after {he} {did[0]} , {name} {did[1]}",
            f"{name} {did[1]} after {he} {did[0]}",
            f"before {name} {did[1]} , {he} {did[0]}",
        )
    )
    text += f" . then {he} {did[2]}" if len(did) == 3 else ""
    pairs = [(a, b) for i, a in enumerate(did) for b in did[i + 1 :]]

    def says(first: str, second: str) -> str:
        return rng.choice((f"{name} {first} before {he} {second}", f"{name} {second} after {he} {first}"))

    return Told(text, tuple(says(*pair) for pair in pairs), tuple(says(b, a) for a, b in pairs))


TEXTS: tuple[tuple[Callable[[Random], Told], int], ...] = (
    (people, 5), (things, 8), (rules, 8), (compared, 8), (handed, 7), (done, 5), (moved, 9), (arranged, 7),
)  # fmt: skip


def any_text(rng: Random) -> Told:
    """Return a text of any kind."""
    makers, weights = zip(*TEXTS, strict=True)
    facts: Told = rng.choices(makers, weights)[0](rng)
    return facts
