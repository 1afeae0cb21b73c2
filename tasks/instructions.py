"""Instruction following: (instruction, input, output) rows, scored by ROUGE-L against the given output.

alpaca: {"instruction": "Identify the odd one out.", "input": "Twitter, Instagram, Telegram", "output": "Telegram"}

Alpaca-cleaned and Dolly have train rows only: the test rows are carved from them, the same for every split seed, unless
the folder has a test file. Rows with an empty output are left out.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import Example, TaskRow
from tasks.data.dataset import CARVED, Source, row
from tasks.data.hub_rows import PARQUET
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader

PROMPT = (
    "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}{given}\n\n### Response:\n"
)
"""Alpaca's two prompts in one: `paired` and `given` are empty where a row has no input."""
_PAIRED = ", paired with an input that provides further context"


def _reader(instruction: str, given: str, output: str) -> Reader:
    def make(raw: Row) -> Row:
        has = bool(raw[given].strip())
        return {
            "instruction": raw[instruction],
            "paired": _PAIRED if has else "",
            "given": f"\n\n### Input:\n{raw[given]}" if has else "",
            "output": raw[output],
        }

    raw = {instruction: str, given: str, output: str}
    return Reader(("instruction", "paired", "given"), target="output", make=make, raw=raw)


def _answered(example: Example) -> bool:
    return bool(example.target and example.target.strip())


def _task(reader: Reader, hub: str, revision: str, size: str, *, folder: str, test: str, **source: Any) -> TaskRow:
    origin = Source(reader, hub, None, revision, tests={"test": test}, keep=_answered, **source)
    return row(
        origin, "instruction following", PROMPT, "rouge_l", answer="text", folder=folder, size=size, verified="docs",
        max_input_tokens=512, max_target_tokens=256,
    )  # fmt: skip


TASKS: Mapping[str, TaskRow] = {
    "alpaca": _task(
        _reader("instruction", "input", "output"), "yahma/alpaca-cleaned", PARQUET, "51,760 train", folder="alpaca",
        test=CARVED, places={"train": ("train", "alpaca_data_cleaned")},
    ),
    "dolly": _task(
        _reader("instruction", "context", "response"), "databricks/databricks-dolly-15k",
        "bdd27f4d94b9c1f951818a7da7fd7aeea5dbff1a", "15,011 train",
        folder="dolly", test=CARVED, places={"train": ("train", "databricks-dolly-15k")},
    ),
    "natural_instructions": _task(
        _reader("definition", "inputs", "targets"), "Muennighoff/natural-instructions",
        "a29a9757125f4bb1c26445ad0d2ef7d9b2cc9c4c", "1,600+ tasks", folder="natural_instructions", test="test",
    ),
}  # fmt: skip
