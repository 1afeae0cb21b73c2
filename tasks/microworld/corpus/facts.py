"""Documents that say how the world is: kinds, uses, tools, places, materials, tastes."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world


def kinds(rng: Random) -> str:
    """Return a document such as: A dog is a pet . a dog can bark ."""
    animal = rng.choice(list(lex.ANIMALS))
    kind, does = lex.ANIMALS[animal]
    first, second = rng.sample(list(world.KIND), 2)
    says = [
        f"{world.a(animal)} is {world.a(kind)} .", f"{world.a(animal)} can {does} .", f"{world.a(animal)} is an animal .",
        f"{world.a(first)} is {world.a(world.KIND[first])} .", f"{world.a(second)} is {world.a(world.KIND[second])} .",
    ]  # fmt: skip
    return " ".join(rng.sample(says, 3))


def uses(rng: Random) -> str:
    """Return a document such as: People eat apples: one can eat an apple , one can drive a car ."""
    return " ".join(
        f"one can {lex.USES[kind][1]} the {rng.choice(lex.USES[kind][0])} ." for kind in rng.sample(list(lex.USES), 3)
    )


def choice(rng: Random) -> str:
    """Return a document such as: There is a dog , a car and an apple . one can eat the apple ."""
    chosen = rng.sample(list(lex.USES), 3)
    nouns = [rng.choice(lex.USES[kind][0]) for kind in chosen]
    at = rng.randrange(3)
    name = rng.choice(world.PEOPLE)
    listed = f"{world.a(nouns[0])} , {world.a(nouns[1])} and {world.a(nouns[2])}"
    verb = lex.USES[chosen[at]][1]
    return rng.choice(
        (
            f"{name} has {listed} . {name} can {verb} the {nouns[at]} .",
            f"there is {listed} . one can {verb} the {nouns[at]} .",
            f"{name} has {listed} . what can {name} {verb} ? the {nouns[at]} .",
        )
    )


def member(rng: Random) -> str:
    """Return a document such as: Of a dog , a pear and a sock , the fruit is the pear ."""
    nouns = rng.sample(list(world.KIND), 3)
    if len({world.KIND[n] for n in nouns}) < 3:
        return kinds(rng)
    at = rng.randrange(3)
    return f"there is {world.a(nouns[0])} , {world.a(nouns[1])} and {world.a(nouns[2])} . the {world.KIND[nouns[at]]} is the {nouns[at]} ."


def tools(rng: Random) -> str:
    """Return a document such as: To cut bread , use a knife . with a broom one can sweep floors ."""
    first, second = rng.sample(list(lex.TOOLS), 2)
    (verb, noun), (verb2, noun2) = lex.TOOLS[first], lex.TOOLS[second]
    return rng.choice(
        (
            f"to {verb} {noun} , use {world.a(first)} . {world.a(second)} is of no use .",
            f"with {world.a(first)} one can {verb} {noun} . with {world.a(second)} one can {verb2} {noun2} .",
            f"how to {verb} {noun} ? take {world.a(first)} , not {world.a(second)} .",
            f"{rng.choice(world.PEOPLE)} wanted to {verb} {noun} and took {world.a(first)} .",
        )
    )


def jobs(rng: Random) -> str:
    """Return a document on what a job does, and where."""
    job = rng.choice(list(lex.JOBS))
    place, does = lex.JOBS[job]
    name = rng.choice(world.PEOPLE)
    return rng.choice(
        (
            f"a {job} works in the {place} . a {job} {does} .",
            f"{name} is {world.a(job)} . so {name} works in the {place} and {does} .",
            f"who {does} ? the {job} . where ? in the {place} .",
        )
    )


def materials(rng: Random) -> str:
    """Return a document such as: Glass can break . the cup is made of glass . so the cup can break ."""
    material = rng.choice(list(lex.MATERIALS))
    can, example = lex.MATERIALS[material]
    thing = rng.choice(world.THINGS)
    other = rng.choice([m for m in lex.MATERIALS if lex.MATERIALS[m][0] != can])
    return rng.choice(
        (
            f"{material} can {can} . {other} does not {can} .",
            f"the {thing} is made of {material} . so the {thing} can {can} .",
            f"{example} are often made of {material} . so {example} can {can} .",
            f"what can {can} ? {material} can {can} , {other} can not .",
        )
    )


def tastes(rng: Random) -> str:
    """Return a document on how a food tastes."""
    thing = rng.choice(list(lex.TASTES))
    taste, other = (
        lex.TASTES[thing],
        rng.choice([x for x in ("sour", "sweet", "bitter", "salty") if x != lex.TASTES[thing]]),
    )
    return f"the {thing} is {taste} , it does not taste {other} . what is {taste} ? the {thing} ."


def truths(rng: Random) -> str:
    """Return a document such as: Is a dog a pet ? yes , that is true . ann has a pear . does ann have a tool ? no ,
    that is false .
    """
    noun, other = rng.sample(list(world.KIND), 2)
    right = rng.random() < 0.5
    ours = {world.KIND[noun], world.KIND[other]}
    kind = world.KIND[noun] if right else rng.choice([k for k in sorted(set(world.KIND.values())) if k not in ours])
    verdict = "yes , that is true" if right else "no , that is false"
    name = rng.choice(world.PEOPLE)
    owned = [world.a(noun), world.a(other)]
    rng.shuffle(owned)
    if rng.random() < 0.3:
        return f"is {world.a(noun)} {world.a(kind)} ? {verdict} ."
    return f"{name} has {owned[0]} and {owned[1]} . does {name} have {world.a(kind)} ? {verdict} ."


DOCUMENTS = (
    (kinds, 6), (uses, 3), (choice, 8), (member, 4), (tools, 6), (jobs, 4), (materials, 5), (tastes, 2), (truths, 6),
)  # fmt: skip
