"""Documents with claims that are judged, several to a text. In the last stage the verdicts are what is learnt.

Without such a stage, small backbones do not learn from a few thousand rows to tell of which part a review speaks well
(49 to 60 % after full fine-tuning, and 91 % with it).
"""

from random import Random

from tasks.microworld import lexicon as lex
from tasks.microworld2.corpus import reviewed, telling, told

VERDICTS = ("true", "false", "maybe")
SAME = ("yes", "no")
ANSWERS = (*VERDICTS, *SAME, *reviewed.GOOD)
"""Words that are learnt in the last stage, wherever they follow a question mark."""


def claims(rng: Random) -> str:
    """Return a document such as: Every pet was wet . ann had a dog . the dog was soaked ? true . the dog was dry ? false ."""
    text = told.any_text(rng)
    judged = [
        (claim, verdict)
        for verdict, group in zip(VERDICTS, (text.true, text.false, text.open), strict=True)
        for claim in group
    ]
    chosen = rng.sample(judged, min(len(judged), rng.choice((2, 3, 4))))
    lead = rng.choice(("", "", "is it true ? "))
    return f"{text.text} . {lead}" + " ".join(f"{claim} ? {verdict} ." for claim, verdict in chosen)


def parts(rng: Random) -> str:
    """Return a document such as: The food was awful and the room was lovely . the room ? good . the food ? bad ."""
    clauses, liked = reviewed.parted(rng)
    wanted = rng.sample(sorted(liked), len(liked))
    form = rng.choice(("the {} ? {} .", "how was the {} ? {} .", "{} ? {} ."))
    return f"{reviewed.joined(clauses, rng)} . " + " ".join(
        form.format(part, reviewed.GOOD[not liked[part]]) for part in wanted
    )


def wholes(rng: Random) -> str:
    """Return a document such as: Although the plot was dull , the play was lovely . good or bad ? good ."""
    good, thing = rng.random() < 0.5, rng.choice(("", "", rng.choice(lex.GOODS)))
    return f"{reviewed.turned(good, rng, thing)} . {rng.choice(('good or bad', 'in all', 'how was it'))} ? {reviewed.GOOD[not good]} ."


def same(rng: Random) -> str:
    """Return a document such as: Ann gave the small key to tom . tom got the little key from ann ? yes ."""
    alike, other = telling.event(rng)
    first, *rest = rng.sample(alike, 3)
    sentences = [(way, SAME[0]) for way in rest] + [(way, SAME[1]) for way in rng.sample(other, 2)]
    chosen = rng.sample(sentences, rng.choice((1, 2, 3)))
    return f"{first} . {rng.choice(('', 'the same : '))}" + " ".join(f"{way} ? {verdict} ." for way, verdict in chosen)


DOCUMENTS = ((claims, 50), (parts, 20), (wholes, 14), (same, 16))
