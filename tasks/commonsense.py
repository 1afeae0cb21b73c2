"""The commonsense sets as LLM-Adapters asks them (Hu et al. 2023, arXiv 2304.01933): singly, and as one mixture.

{"instruction": "Please answer the following question with true or false, question: …?\\n\\nAnswer format: true/false",
"input": "", "output": "the correct answer is true", "answer": "true"}

Files: a clone of https://github.com/AGI-Edgerunners/LLM-Adapters (@ 8166572; no copy on the Hub), its `dataset` folder,
or files such as boolq_test.jsonl. Answers are generated and extracted; task.answer=choice scores the options of the
"Answer format" by likelihood instead. `commonsense_170k` trains on the published mixture and reports each set;
`commonsense_170k_faithful` keeps that code's two spellings of the prompt, one in training and one in evaluation.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.errors import shown
from tasks.base import TaskRow
from tasks.data.dataset import Source, row
from tasks.data.row_files import Row
from tasks.data.row_reader import Reader
from tasks.generation import INSTRUCTION

SETS: Mapping[str, tuple[str, int, str, str]] = {
    "boolq": ("boolq", 2, "9,427 train, 3,270 test", "rows"),
    "piqa": ("piqa", 2, "16,113 train, 1,838 test", "rows"),
    "siqa": ("social_i_qa", 3, "33,410 train, 1,954 test", "rows"),
    "hellaswag": ("hellaswag", 4, "39,905 train, 10,042 test", "docs"),
    "winogrande": ("winogrande", 2, "63,238 train, 1,267 test", "rows"),
    "arc-e": ("ARC-Easy", 4, "2,251 train, 2,376 test", "rows"),
    "arc-c": ("ARC-Challenge", 4, "1,119 train, 1,172 test", "rows"),
    "obqa": ("openbookqa", 4, "4,957 train, 500 test", "rows"),
}
"""Our name -> theirs, how many options, rows, and how the schema was verified."""
ABOUT = " (a clone of github.com/AGI-Edgerunners/LLM-Adapters, or its files)"
FOLDER = "llm_adapters_commonsense"

_HEAD = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_INDENT = "\n" + 16 * " "
TRAINED = f"{_HEAD}  \n{_INDENT}### Instruction:{_INDENT}{{instruction}}{_INDENT}{_INDENT}### Response:{_INDENT}"
EVALUATED = f"{_HEAD} \n{_INDENT}### Instruction:{_INDENT}{{instruction}}\n{_INDENT}### Response:{_INDENT}"
"""The prompts of finetune.py and commonsense_evaluate.py: they differ in white space."""


def answers(instruction: str) -> list[str]:
    """Return the answers that an instruction allows. Raise ValueError where it does not name them."""
    _, marked, listed = instruction.rpartition("Answer format:")
    if not marked:
        raise ValueError("its instruction has no 'Answer format:'")
    return [answer.strip() for answer in listed.split("/")]


def _row(raw: Row) -> Row:
    options, answer = answers(raw["instruction"]), raw["answer"]
    if answer not in options:
        raise ValueError(f"the answer {answer!r} is outside its format {'/'.join(options)}")
    if answer not in raw["output"]:
        raise ValueError(f"the output {shown(raw['output'], 40)} does not hold the answer {answer!r}")
    instruction = f"{raw['instruction']}\n\n{raw['input']}".strip()
    options_as_output = [raw["output"].replace(answer, option) for option in options]
    return {
        "instruction": instruction,
        "output": raw["output"],
        "right": options.index(answer),
        "options": options_as_output,
    }


def _reader(prompt: str = "") -> Reader:
    """Return a reader of the rows.

    prompt: put around the instruction at once, where training and evaluation spell it differently.
    """

    def spelt(raw: Row) -> Row:
        made = _row(raw)
        return {**made, "instruction": prompt.format(instruction=made["instruction"])}

    raw = {"instruction": str, "input": str, "output": str, "answer": str}
    return Reader(
        ("instruction",), "right", target="output", choices=("options",), make=spelt if prompt else _row, raw=raw
    )


def _places(theirs: str, split: str) -> tuple[str, ...]:
    return (f"{theirs}_{split}", f"{theirs}/{split}", f"dataset/{theirs}/{split}")


_ALL = {name: f"{theirs}/test" for name, (theirs, *_) in SETS.items()}
_PLACES = {
    **{f"{theirs}/{split}": _places(theirs, split) for theirs, *_ in SETS.values() for split in ("train", "test")},
    "commonsense_170k": ("commonsense_170k", "ft-training_set/commonsense_170k"),
}
_ONE = Source(_reader(), tests={}, places=_PLACES, about=ABOUT)
_MIXTURE = replace(_ONE, train="commonsense_170k", tests=_ALL)
_FAITHFUL = replace(_MIXTURE, reader=_reader(TRAINED), test_source=replace(_ONE, reader=_reader(EVALUATED)))


def _task(source: Source, size: str, options: int, verified: str = "rows", template: str = INSTRUCTION) -> TaskRow:
    values: dict[str, Any] = {"answer": "text", "max_input_tokens": 256, "max_target_tokens": 32}
    return row(
        source, "commonsense", template, "extracted_accuracy", chance=1 / options, folder=FOLDER, size=size,
        verified=verified, source="AGI-Edgerunners/LLM-Adapters @ 816657208af4 (GitHub)", **values,
    )  # fmt: skip


TASKS: Mapping[str, TaskRow] = {
    **{
        f"commonsense/{name}": _task(
            replace(_ONE, train=f"{theirs}/train", tests={"test": f"{theirs}/test"}), size, options, verified
        )
        for name, (theirs, options, size, verified) in SETS.items()
    },
    "commonsense_170k": _task(_MIXTURE, "170,420 train, 22,419 test in 8 sets", 4),
    "commonsense_170k_faithful": _task(_FAITHFUL, "170,420 train, 22,419 test in 8 sets", 4, template="{instruction}"),
}
