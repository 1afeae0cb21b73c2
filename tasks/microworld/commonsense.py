"""The commonsense suite: eight tasks in the shapes of BoolQ, PIQA, SIQA, HellaSwag, WinoGrande, ARC and OpenBookQA.

Rows have the schema and the words of LLM-Adapters (Hu et al. 2023): an instruction that lists labelled options and
their answer format, and the output "the correct answer is answer2". One mixture is trained on; each task has its test.
Example: "please choose the correct answer to the question : what can one eat ? answer1 : the car answer2 : the pear
answer format : answer1 / answer2" -> "the correct answer is answer2" (generated; chance: one over the options).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tasks.base import Splits
from tasks.microworld import lexicon as lex
from tasks.microworld import rows, world, world_questions
from tasks.microworld.rows import Row

Ask = Callable[[Random, int], world_questions.Question]
SIZES = {"train": 384, "validation": 40, "test": 250}  # of each task
MOST_TEST_ROWS = 4096  # of each task; one of them has hardly more distinct rows
MOST_VALIDATION_ROWS = 4096  # of all tasks together


@dataclass(frozen=True)
class Shape:
    """How one task is written: the words before the question, the options' label, and how many options there are."""

    ask: str
    label: str
    asks: Sequence[Ask]
    options: int


def fact(rng: Random, wrongs: int) -> world_questions.Question:
    """Return a question such as: What is sour: the lemon, not the cake. Which animal can fly, who works where, what
    melts.
    """
    return rng.choice((taste, ability, world_questions.material))(rng, wrongs)


def taste(rng: Random, wrongs: int) -> world_questions.Question:
    """Return a question such as: What is sour: the lemon."""
    right = rng.choice(sorted(lex.TASTES))
    others = [food for food, how in lex.TASTES.items() if how != lex.TASTES[right]]
    wrong = tuple(f"the {food}" for food in rng.sample(others, wrongs))
    return world_questions.Question(f"what is {lex.TASTES[right]} ?", f"the {right}", wrong)


def ability(rng: Random, wrongs: int) -> world_questions.Question:
    """Return a question such as: Which animal can fly: the owl."""
    right = rng.choice(sorted(lex.ANIMALS))
    does = lex.ANIMALS[right][1]
    others = [animal for animal, (_, other) in lex.ANIMALS.items() if other != does]
    return world_questions.Question(
        f"which animal can {does} ?", f"the {right}", tuple(f"the {animal}" for animal in rng.sample(others, wrongs))
    )


_CHOOSE = "please choose the correct {} to the question :"
SHAPES: Mapping[str, Shape] = {
    "piqa": Shape(_CHOOSE.format("solution"), "solution", (world_questions.tool,), 2),
    "siqa": Shape(_CHOOSE.format("answer"), "answer", (world_questions.feeling, world_questions.then, world_questions.wish), 3),
    "hellaswag": Shape(
        "please choose the correct ending to complete the given sentence :", "ending", (world_questions.ending,), 4
    ),
    "winogrande": Shape(
        "please choose the correct answer to fill in the blank to complete the given sentence :", "option",
        (world_questions.blank,), 2,
    ),
    "arc-e": Shape(_CHOOSE.format("answer"), "answer", (world_questions.use, world_questions.kind), 4),
    "arc-c": Shape(_CHOOSE.format("answer"), "answer", (world_questions.made_of, world_questions.job), 4),
    "obqa": Shape(_CHOOSE.format("answer"), "answer", (fact,), 4),
}  # fmt: skip


def _row(instruction: str, answer: str, label: int, choices: tuple[str, ...]) -> Row:
    sentences = tuple(f"the correct answer is {choice}" for choice in choices)
    return Row({"instruction": instruction}, label, f"the correct answer is {answer}", sentences)


def chosen(shape: Shape) -> rows.Maker:
    """Return the maker of a task's rows with labelled options; the right one stands at position `label`."""
    labels = tuple(f"{shape.label}{i + 1}" for i in range(shape.options))

    def make(label: int, rng: Random) -> Row:
        question = rng.choice(shape.asks)(rng, shape.options - 1)
        options = list(question.wrong)
        options.insert(label, question.right)
        listed = " ".join(f"{name} : {option}" for name, option in zip(labels, options, strict=True))
        text = f"{shape.ask} {question.text} {listed} answer format : {' / '.join(labels)}"
        return _row(text, labels[label], label, labels)

    return make


def yes_or_no(label: int, rng: Random) -> Row:
    """Return a row such as: Ann has a pear , a cow and a sock . does ann have a cow ? true or false."""
    *owned, other = rng.sample(list(world.KIND), 4)
    name, thing = rng.choice(world.PEOPLE), rng.choice(owned) if label == 0 else other
    listed = f"{world.a(owned[0])} , {world.a(owned[1])} and {world.a(owned[2])}"
    ask = "please answer the following question with true or false , question :"
    question = f"{name} has {listed} . does {name} have {world.a(thing)} ?"
    return _row(f"{ask} {question} answer format : true / false", ("true", "false")[label], label, ("true", "false"))


MAKERS: Mapping[str, tuple[rows.Maker, int]] = {
    "boolq": (yes_or_no, 2),
    **{name: (chosen(shape), shape.options) for name, shape in SHAPES.items()},
}
CHANCE = sum(1 / options for _, options in MAKERS.values()) / len(MAKERS)


def mixture(seed: str, test_rows: int = 0, validation_rows: int = 0) -> Splits:
    """Return all eight tasks: train and validation mixed in a fixed order, and a test set each.

    Where `test_rows` is more than the usual 250, further rows of each test set follow. Where `validation_rows` is more
    than the usual 320, each task has its part of them.
    """
    part = -(-validation_rows // len(MAKERS))
    each = {
        name: rows.splits(maker, labels, f"{seed} {name}", SIZES, test_rows, part)
        for name, (maker, labels) in MAKERS.items()
    }
    return rows.mixed(each, seed)
