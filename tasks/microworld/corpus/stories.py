"""Documents in which people move, own things, feel, talk and do one thing after another."""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld import world


def where(rng: Random) -> str:
    """Return a document such as: Ann went to the park . tom went to the shop . so ann is in the park ."""
    people = rng.sample(world.PEOPLE, rng.choice((2, 3, 3)))
    places = rng.sample(lex.PLACES, len(people))
    order = list(range(len(people)))
    moves = [f"{people[i]} {rng.choice(lex.MOVES)[0]} to the {places[i]} ." for i in order]
    rng.shuffle(order)
    ends = [rng.choice((f"so {people[i]} is in the {places[i]} .", f"{people[i]} is now in the {places[i]} .",
                        f"where is {people[i]} now ? in the {places[i]} .")) for i in order]  # fmt: skip
    return " ".join(moves + ends[: rng.choice((1, 2, len(ends)))])


def carry(rng: Random) -> str:
    """Return a document such as: Ann took the key . ann went to the park . so the key is in the park . who has the key
    ? ann .
    """
    first, second = rng.sample(world.PEOPLE, 2)
    thing, other = rng.sample(world.THINGS, 2)
    place, away = rng.sample(lex.PLACES, 2)
    facts = [
        f"{first} {rng.choice(lex.TAKES)[0]} the {thing} . {world.he(first) if rng.random() < 0.3 else first} {rng.choice(lex.MOVES)[0]} to the {place} .",
        f"{second} {rng.choice(lex.TAKES)[0]} the {other} . {world.he(second) if rng.random() < 0.3 else second} {rng.choice(lex.MOVES)[0]} to the {away} .",
    ]
    rng.shuffle(facts)
    ends = [f"so the {thing} is in the {place} .", f"who has the {thing} ? {first} .", f"what does {second} have ? the {other} .",
            f"where is the {other} ? in the {away} ."]  # fmt: skip
    return " ".join(facts + rng.sample(ends, rng.choice((1, 2))))


def social(rng: Random) -> str:
    """Return a document such as: Ann lost the key . she felt sad . then she looked … It may ask why, how and what next."""
    name = rng.choice(world.PEOPLE)
    event, feeling, then, wish = rng.choice(lex.SOCIAL)
    he = world.he(name)
    says = [
        f"so {he} felt {rng.choice((feeling, world.synonym(feeling)))} .",
        f"{he} wanted to {wish} .",
        f"next {he} will {then} .",
        f"{he} was not {rng.choice(world.opposites(feeling))} .",
        f"how does {name} feel ? {feeling} .",
        f"what will {name} do next ? {then} .",
        f"what did {name} want ? to {wish} .",
    ]
    return f"{name} {event} . " + " ".join(rng.sample(says, rng.choice((2, 3))))


def script(rng: Random) -> str:
    """Return a document such as "first she took a cup , then she boiled the water , …"."""
    name, steps = rng.choice(world.PEOPLE), rng.choice(lex.SCRIPTS)
    if rng.random() < 0.5:
        at = rng.randrange(len(steps) - 1)
        return f"{name} {steps[at]} . then {world.he(name)} {steps[at + 1]} ."
    he = world.he(name)
    return f"first {name} {steps[0]} . then {he} {steps[1]} . then {he} {steps[2]} . last , {he} {steps[3]} ."


def because(rng: Random) -> str:
    """Return a document such as: The bag does not fit in the box because the bag is too large . so the bag is big ."""
    template, words = rng.choice(lex.FITS)
    first, second = rng.sample(world.THINGS if "break" in template or "fit" in template else list(lex.ANIMALS), 2)
    side = rng.randrange(2)
    word = words[side]
    subject = (first, second)[side]
    story = template.format(a=first, b=second, x=rng.choice((subject, "thing")), w=word)
    return f"{story} . so the {subject} is {word} . the {(first, second)[1 - side]} is not {word} ."


def thanks(rng: Random) -> str:
    """Return a document such as: Tom thanked paul because paul helped him . so it was paul who helped ."""
    first, second = rng.sample(lex.WOMEN if rng.random() < 0.5 else lex.MEN, 2)
    him = "her" if first in lex.WOMEN else "him"
    forms = (
        (f"{first} thanked {second} because {second} helped {him}", f"so {second} helped {first}"),
        (f"{first} was angry with {second} because {second} pushed {him}", f"so {second} pushed {first}"),
        (f"{first} gave {second} food because {second} was hungry", f"so {second} was hungry"),
        (f"{first} asked {second} for help because {first} was weak", f"so {first} was weak"),
        (f"{first} said sorry to {second} because {first} was late", f"so {first} was late"),
        (f"{first} paid {second} because {second} did the work", f"so {second} did the work"),
    )
    story, so = rng.choice(forms)
    return f"{story} . {so} ."


def dialogue(rng: Random) -> str:
    """Return a document such as: Ann : shall we go to the park ? tom : yes , on monday . in short , ann and tom go to
    the park on monday .
    """
    first, second = rng.sample(world.PEOPLE, 2)
    place, day, thing = rng.choice(lex.PLACES), rng.choice(lex.DAYS), rng.choice(world.THINGS)
    forms = (
        (
            f"{first} : shall we go to the {place} ? {second} : yes , on {day} . {first} : fine , see you then .",
            f"{first} and {second} will go to the {place} on {day}",
        ),
        (
            f"{first} : i need a {thing} . {second} : i have one . {first} : can i have it ? {second} : yes , on {day} .",
            f"{second} will give the {thing} to {first} on {day}",
        ),
        (
            f"{first} : i am in the {place} . {second} : why ? {first} : i lost my {thing} . {second} : oh no .",
            f"{first} lost the {thing} in the {place}",
        ),
    )
    story, short = rng.choice(forms)
    return f"{story} in short , {short} ."


def report(rng: Random) -> str:
    """Return a short story with its point repeated at the end."""
    name, place, day = rng.choice(world.PEOPLE), rng.choice(lex.PLACES), rng.choice(lex.DAYS)
    event, feeling, _, _ = rng.choice(lex.SOCIAL)
    verb, _ = rng.choice(lex.MOVES)
    noun = rng.choice(list(lex.ANIMALS))
    return (
        f"on {day} {name} {verb} to the {place} . there was {world.a(noun)} there . {name} {event} . "
        f"{world.he(name)} was {feeling} . in short , {name} {event} in the {place} ."
    )


DOCUMENTS = (
    (where, 10),
    (carry, 8),
    (social, 6),
    (script, 4),
    (because, 4),
    (thanks, 3),
    (dialogue, 4),
    (report, 4),
)
