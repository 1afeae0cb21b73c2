"""Questions about the microworld with one right answer and wrong ones; corpus and tasks both ask them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world


@dataclass(frozen=True)
class Question:
    """text: the question (may open with a story); right: its answer; wrong: answers that are false."""

    text: str
    right: str
    wrong: tuple[str, ...]


def use(rng: Random, wrongs: int) -> Question:
    """Return a question such as: What can one eat: an apple, not a car."""
    kinds = rng.sample(list(lex.USES), wrongs + 1)
    nouns = [rng.choice(lex.USES[kind][0]) for kind in kinds]
    return Question(f"what can one {lex.USES[kinds[0]][1]} ?", f"the {nouns[0]}", tuple(f"the {n}" for n in nouns[1:]))


def kind(rng: Random, wrongs: int) -> Question:
    """Return a question such as: Which is a bird: the owl, not the pear."""
    kinds = rng.sample(sorted(set(world.KIND.values())), wrongs + 1)
    nouns = [rng.choice([n for n, k in world.KIND.items() if k == wanted]) for wanted in kinds]
    return Question(f"which is {world.a(kinds[0])} ?", f"the {nouns[0]}", tuple(f"the {n}" for n in nouns[1:]))


def material(rng: Random, wrongs: int) -> Question:
    """Return a question such as: Which can melt: ice, not stone."""
    can = rng.choice(sorted({c for c, _ in lex.MATERIALS.values()}))
    right = rng.choice([m for m, (c, _) in lex.MATERIALS.items() if c == can])
    return Question(
        f"what can {can} ?",
        right,
        tuple(rng.sample([m for m, (c, _) in lex.MATERIALS.items() if c != can], wrongs)),
    )


def job(rng: Random, wrongs: int) -> Question:
    """Return a question such as: Who works in the hospital: the doctor."""
    who = rng.choice(list(lex.JOBS))
    place, does = lex.JOBS[who]
    others = tuple(rng.sample([f"the {j}" for j, (p, d) in lex.JOBS.items() if p != place and d != does], wrongs))
    return Question(rng.choice((f"who works in the {place} ?", f"who {does} ?")), f"the {who}", others)


def tool(rng: Random, wrongs: int) -> Question:
    """Return a question such as: How to cut bread: with a knife."""
    right = rng.choice(list(lex.TOOLS))
    verb, noun = lex.TOOLS[right]
    others = rng.sample([t for t, (v, n) in lex.TOOLS.items() if (v, n) != (verb, noun) and n != noun], wrongs)
    text = rng.choice((f"how to {verb} {noun} ?", f"how can {rng.choice(world.PEOPLE)} {verb} {noun} ?"))
    return Question(text, f"use {world.a(right)}", tuple(f"use {world.a(t)}" for t in others))


def made_of(rng: Random, wrongs: int) -> Question:
    """Return a question such as: The cup is made of glass: what can the cup do? break. It takes two facts, one of them
    given.
    """
    of = rng.choice(list(lex.MATERIALS))
    can, _ = lex.MATERIALS[of]
    others = tuple(rng.sample(sorted({c for c, _ in lex.MATERIALS.values()} - {can}), wrongs))
    return Question(f"the {rng.choice(world.THINGS)} is made of {of} . what can it do ?", can, others)


def feeling(rng: Random, wrongs: int) -> Question:
    """Return a question such as "ann lost the key: how does she feel?"."""
    name = rng.choice(world.PEOPLE)
    event, feels, _, _ = rng.choice(lex.SOCIAL)
    others = [
        f for _, f, _, _ in lex.SOCIAL if world.scale_of(f) != world.scale_of(feels) or f in world.opposites(feels)
    ]
    return Question(f"{name} {event} . how does {name} feel ?", feels, tuple(rng.sample(sorted(set(others)), wrongs)))


def then(rng: Random, wrongs: int) -> Question:
    """Return a question such as "ann lost the key: what will she do next?"."""
    name = rng.choice(world.PEOPLE)
    event, _, does, _ = rng.choice(lex.SOCIAL)
    others = tuple(rng.sample([d for _, _, d, _ in lex.SOCIAL if d != does], wrongs))
    return Question(f"{name} {event} . what will {name} do next ?", does, others)


def wish(rng: Random, wrongs: int) -> Question:
    """Return a question such as "ann lost the key: what did she want?"."""
    name = rng.choice(world.PEOPLE)
    event, _, _, wanted = rng.choice(lex.SOCIAL)
    others = tuple(rng.sample([w for _, _, _, w in lex.SOCIAL if w != wanted], wrongs))
    return Question(f"{name} {event} . what did {name} want ?", f"to {wanted}", tuple(f"to {w}" for w in others))


def ending(rng: Random, wrongs: int) -> Question:
    """Return a question such as: Ann took a cup , then she boiled the water , then: she made the tea."""
    name, steps = rng.choice(world.PEOPLE), rng.choice(lex.SCRIPTS)
    at = rng.randrange(1, len(steps))
    story = " then ".join(
        f"{name} {step} ." if i == 0 else f"{world.he(name)} {step} ."
        for i, step in enumerate(steps[max(0, at - 2) : at])
    )
    others = [s for script in lex.SCRIPTS if script is not steps for s in script]
    return Question(
        f"{story} then",
        f"{world.he(name)} {steps[at]}",
        tuple(f"{world.he(name)} {s}" for s in rng.sample(others, wrongs)),
    )


def blank(rng: Random, wrongs: int) -> Question:
    """Return a question such as: The bag does not fit in the box because the _ is too large: bag, not box.

    It has two options by nature.
    """
    template, words = rng.choice(lex.FITS)
    pool = world.THINGS if "break" in template or "fit" in template else tuple(lex.ANIMALS)
    pair = rng.sample(pool, 2)
    side = rng.randrange(2)
    sentence = template.format(a=pair[0], b=pair[1], x="_", w=words[side])
    return Question(sentence, pair[side], (pair[1 - side],))


def located(rng: Random, wrongs: int) -> Question:
    """Return a question such as "ann went to the park . tom went to the shop . where is ann ?"."""
    people, places = rng.sample(world.PEOPLE, wrongs + 1), rng.sample(lex.PLACES, wrongs + 1)
    facts = [f"{who} {rng.choice(lex.MOVES)[0]} to the {place} ." for who, place in zip(people, places, strict=True)]
    rng.shuffle(facts)
    return Question(
        f"{' '.join(facts)} where is {people[0]} ?", f"the {places[0]}", tuple(f"the {p}" for p in places[1:])
    )


BANK: tuple[Callable[[Random, int], Question], ...] = (
    use, kind, material, job, tool, made_of, feeling, then, wish, ending, blank, located,
)  # fmt: skip
