"""Documents that draw conclusions, say a thing in other words, and put a story or a talk in short."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.corpus.stories import where
from tasks.microworld2.corpus import told


def concluded(rng: Random) -> str:
    """Return a document such as: Every pet was wet . ann had a dog . so the dog was soaked . the dog was not dry ."""
    text = told.any_text(rng)
    says = [
        rng.choice(("so {} .", "{} , that is true .", "in other words , {} .")).format(claim) for claim in text.true
    ]
    says += [rng.choice(("it is not true that {} .", "it is false that {} .")).format(claim) for claim in text.false]
    says += [f"maybe {claim} ." for claim in text.open]
    return f"{text.text} . {' '.join(rng.sample(says, min(len(says), rng.choice((1, 2, 3)))))}"


def event(rng: Random) -> tuple[list[str], list[str]]:
    """Return ways to say one thing, and ways to say another in nearly the same words."""
    first, second = rng.sample(world.PEOPLE, 2)
    thing, place = rng.choice(world.THINGS), rng.choice(lex.PLACES)
    word = rng.choice(world.words_of(lex.THING_SCALES))
    gave, got, given = rng.choice(lex.TRANSFERS)
    past, _ = rng.choice(lex.ACTS)

    def ways(giver: str, taker: str, how: str) -> list[str]:
        if transfer:
            return [f"{giver} {gave} the {how} {thing} to {taker} in the {place}", f"{taker} {got} the {how} {thing} from {giver} in the {place}",
                    f"the {how} {thing} was {given} to {taker} by {giver} in the {place}"]  # fmt: skip
        return [
            f"{giver} {past} {taker} near the {how} {thing}",
            f"near the {how} {thing} {taker} was {past} by {giver}",
        ]

    transfer = rng.random() < 0.6
    same = ways(first, second, word) + ways(first, second, world.synonym(word))
    return same, ways(second, first, word) + ways(first, second, rng.choice(world.opposites(word)))


def retold(rng: Random) -> str:
    """Return a document such as: Ann gave the small key to tom . that is , tom got the little key from ann ."""
    same, other = event(rng)
    first, second = rng.sample(same, 2)
    return f"{first} . {rng.choice(('that is , ', 'in other words , ', 'the same : '))}{second} . it is another thing that {rng.choice(other)} ."


def wandered(rng: Random) -> str:
    """Return a document in which people go from place to place, and it is asked where they and their things are."""
    if rng.random() < 0.3:
        return where(rng)
    text = told.moved(rng)
    wanted = [claim.split(" is in ") for claim in text.true if " is in " in claim]
    wanted += [[claim.split()[0], f"with {claim.partition(' has ')[2]}"] for claim in text.true if " has " in claim]
    return f"{text.text} . " + " ".join(
        f"where is {who} ? in {place} ." if "with" not in place else f"who is {place} ? {who} ."
        for who, place in rng.sample(wanted, min(2, len(wanted)))
    )


def agreed(rng: Random) -> str:
    """Return a talk of two that ends in a plan, after none or more changes of it, and the plan in short."""
    first, second = rng.sample(world.PEOPLE, 2)
    places, days = rng.sample(lex.PLACES, 3), rng.sample(lex.DAYS, 3)
    place, day = places[0], days[0]
    sentences = [f"{first} : shall we go to the {place} on {day} ?"]
    speaker, other = second, first
    for turn in range(rng.choice((0, 1, 1, 2))):
        if rng.random() < 0.5:
            place = places[turn + 1]
            sentences.append(f"{speaker} : no , let us go to the {place} .")
        else:
            day = days[turn + 1]
            sentences.append(f"{speaker} : i can not , but on {day} i can .")
        speaker, other = other, speaker
    sentences.append(f"{speaker} : {rng.choice(('yes , fine .', 'well , yes .', 'good , see you then .'))}")
    return f"{' '.join(sentences)} in short , {first} and {second} go to the {place} on {day} ."


def shortened(rng: Random) -> str:
    """Return a story in which much happens and one event matters, and the event in short with its place."""
    name, other = rng.sample(world.PEOPLE, 2)
    place, away = rng.sample(lex.PLACES, 2)
    happened, feeling, _, _ = rng.choice(lex.SOCIAL)
    beside = [
        f"{other} {rng.choice(lex.MOVES)[0]} to the {away} .",
        f"there was {world.a(rng.choice(list(lex.ANIMALS)))} .",
        f"{other} had {world.a(rng.choice(world.THINGS))} .",
    ]
    rest = rng.sample(beside, rng.choice((0, 1, 2)))
    points = [f"{name} {rng.choice(lex.MOVES)[0]} to the {place} .", f"{name} {happened} ."]
    for sentence in rest:
        points.insert(rng.randrange(len(points) + 1), sentence)
    ending = f"{world.he(name)} was {feeling} . " if rng.random() < 0.5 else ""
    return f"{' '.join(points)} {ending}in short , {name} {happened} in the {place} ."


def made_of(rng: Random) -> str:
    """Return a document such as: The cup is made of glass . the hat is made of wool . what can shrink ? the hat ."""
    things, stuffs = rng.sample(world.THINGS, 3), rng.sample(sorted(lex.MATERIALS), 3)
    sentences = " . ".join(f"the {thing} is made of {stuff}" for thing, stuff in zip(things, stuffs, strict=True))
    ends = [rng.choice((f"the {thing} can {lex.MATERIALS[stuff][0]} .", f"what is made of {stuff} ? the {thing} .",
                        f"what can the {thing} do ? {lex.MATERIALS[stuff][0]} .")) for thing, stuff in zip(things, stuffs, strict=True)]  # fmt: skip
    return f"{sentences} . {' '.join(rng.sample(ends, 2))}"


DOCUMENTS = ((concluded, 30), (retold, 12), (wandered, 10), (agreed, 12), (shortened, 10), (made_of, 6))
