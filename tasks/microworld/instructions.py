"""The instruction suite: short orders with one right response, in the Alpaca format (instruction, input, output).

Example: {"instruction": "give a word that means the same", "input": "big"} -> "large" (generated). Fifteen kinds of
order, equally often in every split; some ask for what the world is like, some for work on the input's words.
"""

from collections.abc import Callable
from random import Random

from tasks.base import Splits
from tasks.microworld import lexicon as lex
from tasks.microworld import rows, world
from tasks.microworld.rows import Row

SIZES = {"train": 1050, "validation": 105, "test": 300}
MOST_TEST_ROWS, MOST_VALIDATION_ROWS = 900, 600  # some kinds have few more distinct rows
Order = tuple[str, str, str]  # instruction, input, output


def _say(rng: Random, *wordings: str) -> str:
    return rng.choice(wordings)


def same(rng: Random) -> Order:
    """Return an order to name a synonym."""
    word = rng.choice(world.words_of((*lex.THING_SCALES, *lex.PERSON_SCALES)))
    return _say(rng, "give a word that means the same", "name a word that means the same"), word, world.synonym(word)


def opposite(rng: Random) -> Order:
    """Return an order to name an opposite."""
    pair = rng.sample(rng.choice(lex.COMPARATIVES), 2)
    return _say(rng, "give the opposite", "what is the opposite ?"), pair[0], pair[1]


def kind(rng: Random) -> Order:
    """Return an order to name the kind of a thing."""
    noun = rng.choice(sorted(world.KIND))
    return _say(rng, "what kind of thing is it ?", "name the kind"), f"the {noun}", world.KIND[noun]


def past(rng: Random) -> Order:
    """Return an order to give the past of a verb."""
    done, base = rng.choice((*lex.MOVES, *lex.TAKES, *lex.ACTS))
    return _say(rng, "give the past", "change the word to the past"), base, done


def use(rng: Random) -> Order:
    """Return an order to name the use of a thing."""
    nouns, verb = rng.choice(list(lex.USES.values()))
    return _say(rng, "what can one do with it ?", "name what one can do with it"), f"the {rng.choice(nouns)}", verb


def workplace(rng: Random) -> Order:
    """Return an order to name the workplace of a job."""
    who = rng.choice(sorted(lex.JOBS))
    return _say(rng, "where does one work ?", "name the place of the work"), f"the {who}", lex.JOBS[who][0]


def needed(rng: Random) -> Order:
    """Return an order to name the tool for an activity."""
    tool = rng.choice(sorted(lex.TOOLS))
    verb, noun = lex.TOOLS[tool]
    return _say(rng, "what does one use ?", "name a tool"), f"{verb} {noun}", tool


def tastes(rng: Random) -> Order:
    """Return an order to name the taste of a food."""
    thing = rng.choice(sorted(lex.TASTES))
    return _say(rng, "how does it taste ?", "describe how it is to eat"), f"the {thing}", lex.TASTES[thing]


def _words(rng: Random, count: int) -> list[str]:
    pool = rng.choice((world.COUNTED, tuple(lex.PLACES), tuple(world.PEOPLE), tuple(lex.COLOURS)))
    return rng.sample(pool, count)


def first(rng: Random) -> Order:
    """Return an order to give the first word of a list."""
    words = _words(rng, rng.choice((3, 4, 5)))
    return _say(rng, "give the first word", "write the first word of the list"), " ".join(words), words[0]


def last(rng: Random) -> Order:
    """Return an order to give the last word of a list."""
    words = _words(rng, rng.choice((3, 4, 5)))
    return _say(rng, "give the last word", "write the last word of the list"), " ".join(words), words[-1]


def reverse(rng: Random) -> Order:
    """Return an order to reverse a list."""
    words = _words(rng, rng.choice((2, 3, 3)))
    return _say(rng, "reverse the list", "write the words in reverse"), " ".join(words), " ".join(words[::-1])


def repeat(rng: Random) -> Order:
    """Return an order to repeat a word."""
    word = _words(rng, 1)[0]
    times = rng.choice((2, 3))
    return (
        _say(
            rng,
            f"write the word and repeat it : {lex.NUMBERS[times - 1]} in all",
            f"repeat it to make {lex.NUMBERS[times - 1]} words",
        ),
        word,
        " ".join([word] * times),
    )


def count(rng: Random) -> Order:
    """Return an order to count the words of a list."""
    words = _words(rng, rng.choice((2, 3, 4, 5)))
    return _say(rng, "count the words", "how many words ?"), " ".join(words), lex.NUMBERS[len(words) - 1]


def odd(rng: Random) -> Order:
    """Return an order to find the word of another kind."""
    pools = [
        [noun for noun, noun_kind in world.KIND.items() if noun_kind == kind]
        for kind in sorted(set(world.KIND.values()))
    ]
    many, few = rng.sample([pool for pool in pools if len(pool) > 3], 2)
    words, other = rng.sample(many, 3), rng.choice(few)
    words.insert(rng.randrange(4), other)
    return _say(rng, "which is the odd one out ?", "name the odd word"), " ".join(words), other


def sort(rng: Random) -> Order:
    """Return an order to sort numbers."""
    places = rng.sample(range(10), rng.choice((2, 3)))
    words = [lex.NUMBERS[at] for at in places]
    return "sort the list", " ".join(words), " ".join(lex.NUMBERS[at] for at in sorted(places))


def each(order: Callable[[Random], Order]) -> Callable[[Random], Order]:
    """Return an order about one thing, or (three times in four) about two, answered in turn.

    A dozen facts alone make too few different rows.
    """

    def both(rng: Random) -> Order:
        instruction, given, output = order(rng)
        if rng.random() < 0.25:
            return instruction, given, output
        _, other, answer = order(rng)
        return instruction, f"{given} , {other}", f"{output} , {answer}"

    return both


KINDS: tuple[Callable[[Random], Order], ...] = (
    *map(each, (same, opposite, kind, past, use, workplace, needed, tastes, repeat)), first, last, reverse, count, odd, sort,
)  # fmt: skip


def order(label: int, rng: Random) -> Row:
    """Return a row of the kind `label`."""
    instruction, given, output = KINDS[label](rng)
    return Row({"instruction": instruction, "input": given}, None, output)


def suite(seed: str, test_rows: int = 0, validation_rows: int = 0) -> Splits:
    """Return train, validation and one test, each with every kind equally often as far as there are distinct rows.

    Where `test_rows` is more than the usual 300 or `validation_rows` more than 105, further rows follow.
    """
    return rows.splits(order, len(KINDS), seed, SIZES, test_rows, validation_rows)
