"""What a causal backbone reads after the corpus: questions whose answer is a label, or true or false, and nothing else.

In every second quiz of the corpus the answer stands before its label, so that the label can be looked up. A label alone
requires the choice first. The nano backbone learns that here within some thousand steps, because only the answer counts
in the loss. It learns it neither from the corpus' quizzes nor from a task's three thousand rows.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from random import Random

from tasks.microworld import corpus, world, world_questions
from tasks.microworld.corpus import primer, recall
from tasks.microworld.world_questions import Question

CLOSED = (
    world_questions.use, world_questions.kind, world_questions.material, world_questions.job,
    world_questions.tool, world_questions.made_of,
)  # fmt: skip
"""Questions whose text alone says which answers are right, so that one list of options can serve several."""
DRAWS = 6000
TRUTH = ("true", "false")
ANSWERS = (*(label for labels in recall.LABELS for label in labels), *TRUTH)
_REMINDERS = ("", "true or false . ", "true , false . ")
_SAYS = ("{} .", "it is {} .", "that is {} .")


@cache
def _known(ask: Callable[[Random, int], Question]) -> tuple[Mapping[str, set[str]], Mapping[str, list[str]]]:
    """Return text -> its right answers, and answer -> the texts it is right for, as far as draws show them."""
    rng = Random(f"lessons {ask.__name__}")
    rights, texts = defaultdict[str, set[str]](set), defaultdict[str, list[str]](list)
    for _ in range(DRAWS):
        question = ask(rng, 0)
        if question.right not in rights[question.text]:
            rights[question.text].add(question.right)
            texts[question.right].append(question.text)
    return dict(rights), dict(texts)


def several(rng: Random) -> str:
    """Return a document such as: answer1 : the owl answer2 : the pear . which is a fruit ? answer2 . which is a bird ?
    answer1 .
    """
    labels = rng.choice(recall.LABELS)
    rights, texts = _known(rng.choice(CLOSED))
    answers, wanted = [*texts], rng.randrange(2, min(4, len(labels)) + 1)
    options, questions = list[str](), list[str]()
    for _ in range(40):
        option = rng.choice(answers)
        text = rng.choice(texts[option])
        clear = not rights[text].intersection(options) and all(option not in rights[other] for other in questions)
        if option not in options and clear and len(options) < wanted:
            options.append(option)
            questions.append(text)
    says = rng.choice(_SAYS)
    answered = [f"{text} {says.format(label)}" for text, label in zip(questions, labels, strict=False)]
    return f"{_listed(labels, options, rng)} . {' '.join(rng.sample(answered, len(answered)))}"


def single(rng: Random) -> str:
    """Return a document such as: What can one eat ? answer1 : the car answer2 : the apple . it is answer2 ."""
    labels, ask = rng.choice(recall.LABELS), rng.choice(world_questions.BANK)
    wrongs = 1 if ask is world_questions.blank else rng.randrange(1, min(4, len(labels)))
    question = ask(rng, wrongs)
    options = rng.sample([question.right, *question.wrong], wrongs + 1)
    listed, answer = _listed(labels, options, rng), rng.choice(_SAYS).format(labels[options.index(question.right)])
    return rng.choice((f"{question.text} {listed} . {answer}", f"{listed} . {question.text} {answer}"))


def verdicts(rng: Random) -> str:
    """Return a document such as: Ann has a pear , a cow . does ann have a cow ? true . does ann have a sock ? it is
    false .
    """
    name, nouns = rng.choice(world.PEOPLE), rng.sample([*world.KIND], 8)
    owned, others = nouns[: rng.randrange(2, 5)], nouns[4:]
    answered = []
    for _ in range(3):
        so = rng.random() < 0.5
        thing = world.a(rng.choice(owned if so else others))
        answered.append(f"does {name} have {thing} ? {rng.choice(_SAYS).format(TRUTH[0] if so else TRUTH[1])}")
    return f"{name} has {' , '.join(map(world.a, owned))} . {' '.join(answered)}"


def delayed(rng: Random) -> str:
    """Return a document such as: Ann has a pear , a cow . does ann have a cow ? true or false . needle tom park three .
    it is true .
    """
    name, nouns = rng.choice(world.PEOPLE), rng.sample([*world.KIND], 5)
    owned, so = nouns[: rng.randrange(2, 5)], rng.random() < 0.5
    thing = world.a(rng.choice(owned) if so else nouns[-1])
    between = " ".join(rng.sample(primer.words(), rng.randrange(1, 12)))
    listed = rng.choice((" , ", " and ")).join((" , ".join(map(world.a, owned[:-1])), world.a(owned[-1])))
    answer = rng.choice(_SAYS).format(TRUTH[0] if so else TRUTH[1])
    return f"{name} has {listed} . does {name} have {thing} ? {rng.choice(_REMINDERS)}{between} . {answer}"


def _listed(labels: tuple[str, ...], options: list[str], rng: Random) -> str:
    pairs = (f"{label} : {option}" for label, option in zip(labels, options, strict=False))
    return rng.choice((" , ", " ")).join(pairs)


def _of_the_corpus(rng: Random) -> str:
    return next(corpus.documents(1, rng.randrange(2**32)))


DOCUMENTS = ((several, 26), (single, 46), (verdicts, 12), (recall.labelled, 8), (_of_the_corpus, 8))
DELAYED = (*DOCUMENTS, (delayed, 40))
"""For the larger ones: nano learns from a task's rows to say the verdict some words after the question, they do not."""
