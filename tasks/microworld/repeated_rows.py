"""How many test rows ask what a training row asks, with the same answer? Writes the table into this folder's README.

    python -m tasks.microworld.repeated_rows

No text stands in two splits, but a question may return with other wrong options, in another order: then the row can be
answered from training alone. Compared are the question without its options, and the words of the right option.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.config.schema import TaskConfig
from tasks import registry as tasks
from tasks.base import Example

CARD = Path(__file__).parent / "README.md"
START = "Test rows whose question and answer stand in train, too"
_OPTION = re.compile(r"\b([a-z]+\d) : (.*?)(?= [a-z]+\d : | answer format : |$)")


def text_and_answer(row: Example) -> tuple[str, str]:
    """Return (the question without its options, the words of the answer)."""
    text = " ".join(str(value) for name, value in row.fields.items() if name != "options")
    options = dict(_OPTION.findall(text))
    if options:
        label = str(row.target).split()[-1]
        return text[: text.index(f"{next(iter(options))} : ")], options[label]
    if row.choices and row.label is not None:
        return text, row.choices[int(row.label)]
    return text, str(row.label if row.target is None else row.target)


def share(train: Sequence[Example], test: Sequence[Example]) -> float:
    """Return the share of test rows whose question and answer are also in train."""
    known = {text_and_answer(row) for row in train}
    return sum(text_and_answer(row) in known for row in test) / len(test)


def shares() -> Iterator[tuple[str, float]]:
    """Yield (task or task:set, share) of every task of the microworld."""
    for name in tasks.catalogue():
        if name.startswith("micro/"):
            splits = tasks.load(TaskConfig(name)).splits
            for where, test in splits.tests.items():
                yield (name if len(splits.tests) == 1 else f"{name}:{where}"), share(splits.train, test)


def section() -> str:
    """Return the paragraph and the table of the card."""
    rows = [f"| {name} | {100 * share:.0f} % |" for name, share in shares()]
    head = f"{START} (with other options beside it; by `python -m tasks.microworld.repeated_rows`):"
    return "\n".join([head, "", "| task | test rows |", "|---|---:|", *rows]) + "\n"


def main() -> None:
    """Replace the section at the end of the card, or add it."""
    text = CARD.read_text(encoding="utf-8").partition(START)[0].rstrip() + "\n\n"
    CARD.write_text(text + section(), encoding="utf-8")


if __name__ == "__main__":
    main()
