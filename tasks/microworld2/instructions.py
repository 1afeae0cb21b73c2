"""Instructions, one task: short orders with one right response, in the Alpaca format (instruction, input, output).

Row: {"instruction": "give a word that means the same", "input": "big , cold"} -> "large , freezing" (generated). Fifteen kinds
of order, equally often in every split: some ask for what the world is like, some for work on the words of a list. Level
1, 2, 3: two, three or four things that are answered in turn; lists of about three, five or seven words.
"""

from collections.abc import Callable
from random import Random

from tasks.microworld import instructions as first_world
from tasks.microworld import lexicon as lex
from tasks.microworld import world
from tasks.microworld.instructions import Order
from tasks.microworld.rows import Row

KINDS_OF_WORDS = (world.COUNTED, tuple(lex.PLACES), tuple(lex.COLOURS))
Maker = Callable[[Random, int], Order]


def each(order: Callable[[Random], Order]) -> Maker:
    """Return an order about several different things, answered in turn."""

    def several(rng: Random, level: int) -> Order:
        instruction, *_ = order(rng)
        things = dict[str, str]()
        while len(things) <= level:
            _, thing, answer = order(rng)
            things[thing] = answer
        return instruction, " , ".join(things), " , ".join(things.values())

    return several


def _words(rng: Random, count: int) -> list[str]:
    return rng.sample(rng.choice(KINDS_OF_WORDS), min(count, len(lex.COLOURS)))


def first(rng: Random, level: int) -> Order:
    """Return an order to give the first word of a list."""
    words = _words(rng, 2 * level + 1)
    return rng.choice(("give the first word", "write the first word of the list")), " ".join(words), words[0]


def last(rng: Random, level: int) -> Order:
    """Return an order to give the last word of a list."""
    words = _words(rng, 2 * level + 1)
    return rng.choice(("give the last word", "write the last word of the list")), " ".join(words), words[-1]


def reverse(rng: Random, level: int) -> Order:
    """Return an order to reverse a list."""
    words = _words(rng, 2 + level)
    return rng.choice(("reverse the list", "write the words in reverse")), " ".join(words), " ".join(words[::-1])


def repeat(rng: Random, level: int) -> Order:
    """Return an order to repeat words."""
    words, times = _words(rng, level + 1), rng.choice((2, 3))
    how = rng.choice(("write the word and repeat it : {} in all", "repeat it to make {} words"))
    return how.format(lex.NUMBERS[times - 1]), " , ".join(words), " , ".join(" ".join([word] * times) for word in words)


def count(rng: Random, level: int) -> Order:
    """Return an order to count the words of a list."""
    words = _words(rng, 2 * level + rng.choice((0, 1, 2)))
    return rng.choice(("count the words", "how many words ?")), " ".join(words), lex.NUMBERS[len(words) - 1]


def odd(rng: Random, level: int) -> Order:
    """Return an order to find the word of another kind."""
    kinds = sorted(set(world.KIND.values()))
    pools = [[noun for noun, kind in world.KIND.items() if kind == wanted] for wanted in kinds]
    many = rng.choice([pool for pool in pools if len(pool) >= level + 2])
    words, other = rng.sample(many, level + 2), rng.choice(rng.choice([pool for pool in pools if pool is not many]))
    words.insert(rng.randrange(len(words) + 1), other)
    return rng.choice(("which is the odd one out ?", "name the odd word")), " ".join(words), other


def sort(rng: Random, level: int) -> Order:
    """Return an order to sort numbers."""
    places = rng.sample(range(10), level + 2)
    given, ordered = (" ".join(lex.NUMBERS[at] for at in order) for order in (places, sorted(places)))
    return "sort the list", given, ordered


FACTS = (
    first_world.same, first_world.opposite, first_world.kind, first_world.past, first_world.use, first_world.workplace,
    first_world.needed, first_world.tastes,
)  # fmt: skip
KINDS: tuple[Maker, ...] = (*map(each, FACTS), repeat, first, last, reverse, count, odd, sort)


def order(label: int, level: int, rng: Random) -> Row:
    """Return a row of the kind `label`."""
    instruction, given, output = KINDS[label](rng, level)
    return Row({"instruction": instruction, "input": given}, None, output)
