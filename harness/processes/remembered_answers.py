"""Answers of a child about cells, remembered between commands: a child takes seconds to import torch.

Such an answer follows from the question's text (the method's fields, and the digests of the model's files and of the
task's rows), from this code and from the libraries. So no answer is remembered that needs something else: a method or a
task of another package, files of the Hub, or a model's own code.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from harness.config import user_cache
from harness.config.schema import Cell
from harness.models import weight_files
from harness.store import fingerprint
from harness.store.fingerprint import Subject
from harness.store.provenance import installed

MOST = 10_000
"""The number of answers after which a file begins anew."""
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "bitsandbytes", "gguf")


def lasts(cell: Cell, files: bool) -> bool:
    """Return whether answers about a cell follow from their questions, our code and the libraries.

    files: they need the model's files, too, and not its architecture alone.
    """
    model = cell.model
    from_hub = model.source == "hub" and (files or not weight_files.declared(model))
    return not from_hub and not model.trust_remote_code and fingerprint.is_ours(Subject.of_cell(cell))


def answers(
    target: str, questions: Mapping[str, Any], lasting: Collection[str], ask: Callable[[list[Any]], list[Any]],
    is_kept: Callable[[Any], bool],
) -> dict[str, Any]:  # fmt: skip
    """Return text -> answer for each question: those of an earlier command, and those of `ask` for the others.

    questions: text -> what a child is asked. target: the "module:function" that answers in the child.
    lasting: the texts of which answers may be remembered; is_kept: whether an answer may. `ask` decides by itself what
    an empty list needs.
    """
    names = {text: _name(text) for text in lasting}
    facts = user_cache.known(_file(target))
    earlier = {text: facts[name] for text, name in names.items() if name in facts}
    left = {text: question for text, question in questions.items() if text not in earlier}
    new = dict(zip(left, ask(list(left.values())), strict=True))
    fresh = {names[text]: answer for text, answer in new.items() if text in names and is_kept(answer)}
    if fresh:
        user_cache.remember(_file(target), fresh, MOST)
    return earlier | new


def _file(target: str) -> str:
    return f"{target.replace(':', '.')}.json"


def _name(text: str) -> str:
    return user_cache.name(_surroundings(), text)


@cache
def _surroundings() -> str:
    """Return the digest of this code and of the libraries' versions."""
    return user_cache.name(user_cache.sources("harness", "methods", "tasks"), *map(installed, LIBRARIES))
