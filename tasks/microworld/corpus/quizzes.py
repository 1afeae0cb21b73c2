"""Documents in which options carry labels and a label is the answer: what multiple choice needs."""

from random import Random

from tasks.microworld import world_questions
from tasks.microworld.corpus.recall import LABELS


def quiz(rng: Random) -> str:
    """Return a document such as: What can one eat ? answer1 : the car , answer2 : the apple . it is answer2 , the apple
    .
    """
    labels = rng.choice(LABELS)
    ask = rng.choice(world_questions.BANK)
    wrongs = 1 if ask is world_questions.blank else rng.randrange(1, min(4, len(labels)))
    question = ask(rng, wrongs)
    options = [question.right, *question.wrong]
    rng.shuffle(options)
    listed = " , ".join(f"{label} : {option}" for label, option in zip(labels, options, strict=False))
    label = labels[options.index(question.right)]
    if rng.random() < 0.5:
        return f"{question.text} {listed} . it is {label} , {question.right} ."
    return f"{listed} . {question.text} {question.right} , that is {label} ."


def answer(rng: Random) -> str:
    """Return a document such as: What can one eat ? the apple ."""
    question = rng.choice(world_questions.BANK)(rng, 1)
    return f"{question.text} {question.right} . not {question.wrong[0]} ."


DOCUMENTS = ((quiz, 30), (answer, 8))
