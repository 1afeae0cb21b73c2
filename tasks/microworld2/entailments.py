"""Inference, three tasks: does the premise make the hypothesis true, false or neither? Chance 1/3.

Rows: {"premise": "on monday ann saw a small dog and a wet cat in the park", "hypothesis": "the dog was little"} ->
entailment. The level is the number of things to keep apart, of relations, or of rules. What decides is how the words
belong together; the words alone do not tell.
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.rows import Row
from tasks.microworld2.corpus.told import QUANTIFIED, SEEN, listed, members

LABEL_WORDS = ("entailment", "neutral", "contradiction")
ENTAILED, NEUTRAL, CONTRADICTED = range(3)


def _when(rng: Random) -> str:
    return f"on {rng.choice(lex.DAYS)} in the {rng.choice(lex.PLACES)}"


def _was(word: str, others: list[str], label: int, rng: Random) -> str:
    """Return what follows "was" so that it is true, open or false of a thing that was `word`. others: words of the rest."""
    if label == ENTAILED:
        return rng.choice((world.synonym(word), f"not {rng.choice(world.opposites(word))}"))
    if label == CONTRADICTED:
        return rng.choice((rng.choice(world.opposites(word)), f"not {world.synonym(word)}"))
    near = [other for other in others if world.scale_of(other) != world.scale_of(word)]
    other = rng.choice(near) if near else world.elsewhere(word, lex.THING_SCALES, rng)
    return rng.choice((world.synonym(other), f"not {rng.choice(world.opposites(other))}"))


def states(label: int, level: int, rng: Random) -> Row:
    """Return a row about the state of one of `level` things; on level 3 the hypothesis names its kind."""
    kinds = rng.sample(sorted({world.KIND[noun] for noun in world.COUNTED}), level)
    nouns = [rng.choice(members(kind)) for kind in kinds]
    words = [rng.choice(world.words_of(lex.THING_SCALES)) for _ in nouns]
    at = rng.randrange(level)
    seen = listed([f"{world.a(word)} {noun}" for word, noun in zip(words, nouns, strict=True)])
    subject = kinds[at] if level == 3 and rng.random() < 0.5 else nouns[at]
    was = _was(words[at], [*words[:at], *words[at + 1 :]], label, rng)
    premise = f"{_when(rng)} {rng.choice(world.PEOPLE)} {rng.choice(SEEN)} {seen}"
    return Row({"premise": premise, "hypothesis": f"the {subject} was {was}"}, label)


def rules(label: int, level: int, rng: Random) -> Row:
    """Return a row with a rule about a kind, whose word returns (1) or a synonym of it (2), or with two rules (3)."""
    count = max(1, level - 1)
    kinds = rng.sample(QUANTIFIED, count + 1)
    nouns = [rng.choice(members(kind)) for kind in kinds]
    words = [rng.choice(world.words_of(lex.THING_SCALES)) for _ in range(count)]
    every = [rng.random() < 0.5 for _ in words]
    at = rng.randrange(count)
    word = words[at] if level == 1 else world.synonym(words[at])
    if label == NEUTRAL:
        other = rng.choice([nouns[i] for i in range(count + 1) if i != at])
        hypothesis = f"the {other} was {rng.choice(('', 'not '))}{_foreign(words, at, word, rng)}"
    else:
        hypothesis = f"the {nouns[at]} was {'' if every[at] == (label == ENTAILED) else 'not '}{word}"
    return _ruled(kinds, nouns, words, every, hypothesis, label, rng)


def _foreign(words: list[str], at: int, word: str, rng: Random) -> str:
    """Return `word`, which is like that of rule `at`, where no other rule has a word of its scale; else a free one."""
    scales = [world.scale_of(other) for i, other in enumerate(words) if i != at]
    if world.scale_of(word) not in scales:
        return word
    free = [word for word in world.words_of(lex.THING_SCALES) if world.scale_of(word) not in map(world.scale_of, words)]
    return rng.choice(free)


def _ruled(
    kinds: list[str], nouns: list[str], words: list[str], every: list[bool], hypothesis: str, label: int, rng: Random
) -> Row:
    sentences = [
        f"{'every' if all_ else 'no'} {kind} was {word}" for kind, word, all_ in zip(kinds, words, every, strict=False)
    ]
    owned = rng.sample([f"{world.a(noun)}" for noun in nouns], len(nouns))
    premise = f"{_when(rng)} {' and '.join(rng.sample(sentences, len(sentences)))} . {rng.choice(world.PEOPLE)} had {listed(owned)}"
    return Row({"premise": premise, "hypothesis": hypothesis}, label)


def roles(label: int, level: int, rng: Random) -> Row:
    """Return a row about who did it to whom (1), who gave what to whom (2), or who is more than whom in a chain (3)."""
    premise, hypothesis = (_acts, _hands, _chain)[level - 1](label, rng)
    return Row({"premise": f"{_when(rng)} {premise}", "hypothesis": hypothesis}, label)


def _acts(label: int, rng: Random) -> tuple[str, str]:
    a, b, c, d = rng.sample(world.PEOPLE, 4)
    (past, base), (past2, base2) = rng.sample(lex.ACTS, 2)
    sentences = rng.sample(
        (
            rng.choice((f"{a} {past} {b}", f"{b} was {past} by {a}")),
            rng.choice((f"{c} {past2} {d}", f"{d} was {past2} by {c}")),
        ),
        2,
    )
    hypothesis = {
        ENTAILED: (f"{b} was {past} by {a}", f"{a} {past} {b}", f"it was {a} who {past} {b}"),
        CONTRADICTED: (f"{a} did not {base} {b}", f"{b} was not {past} by {a}", f"{c} did not {base2} {d}"),
        NEUTRAL: (
            f"{b} was {past} by {c}",
            f"{c} {past} {b}",
            f"{a} did not {base2} {b}",
            f"{b} was not {past} by {c}",
        ),
    }[label]
    return " and ".join(sentences), rng.choice(hypothesis)


def _hands(label: int, rng: Random) -> tuple[str, str]:
    a, b, c = rng.sample(world.PEOPLE, 3)
    thing, other = rng.sample(world.THINGS, 2)
    gave, got, given = rng.choice(lex.TRANSFERS)
    gave2, got2, _ = rng.choice(lex.TRANSFERS)
    first = rng.choice(
        (f"{a} {gave} the {thing} to {b}", f"the {thing} was {given} to {b} by {a}", f"{b} {got} the {thing} from {a}")
    )
    second = rng.choice((f"{b} {gave2} the {other} to {c}", f"{c} {got2} the {other} from {b}"))
    hypothesis = {
        ENTAILED: (
            f"{b} {got} the {thing} from {a}",
            f"{b} has the {thing}",
            f"{c} has the {other}",
            f"{a} {gave} the {thing} to {b}",
        ),
        CONTRADICTED: (
            f"{a} {got} the {thing} from {b}",
            f"{a} has the {thing}",
            f"{b} has the {other}",
            f"{b} {gave} the {thing} to {a}",
        ),
        NEUTRAL: (f"{a} has the {{}}", f"{c} has the {{}}", f"{b} {got} the {{}} from {a}"),
    }[label]
    third = rng.choice([x for x in world.THINGS if x not in (thing, other)])
    return " and ".join(rng.sample((first, second), 2)), rng.choice(hypothesis).format(third)


def _chain(label: int, rng: Random) -> tuple[str, str]:
    a, b, c, d = rng.sample(world.PEOPLE, 4)
    word, other = (rng.choice(pair) for pair in rng.sample(lex.COMPARATIVES, 2))
    back = world.converse(word)

    def says(high: str, low: str) -> str:
        return rng.choice((f"{high} is {word} than {low}", f"{low} is {back} than {high}"))

    premise = " and ".join(rng.sample((says(a, b), says(b, c), f"{d} is {other} than {rng.choice((a, b, c))}"), 3))
    high, low = rng.choice(((a, c), (a, c), (a, b), (b, c)))
    hypothesis = {
        ENTAILED: says(high, low),
        CONTRADICTED: says(low, high),
        NEUTRAL: says(*rng.sample((d, rng.choice((a, b, c))), 2)),
    }[label]
    return premise, hypothesis
