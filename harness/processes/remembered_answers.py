"""Answers of a child about cells, remembered between commands: a child takes seconds to import torch.

Such an answer follows from the question's text (the method's fields, and the digests of the model's files and of the
task's rows), from this code and from the libraries. So no answer is remembered that needs something else: a method or a
task of another package, files of the Hub, or a model's own code.
"""

from collections.abc import Iterable, Mapping
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


def known(target: str, questions: Iterable[str]) -> dict[str, Any]:
    """Return question -> the answer that `target` ("module:function") gave in an earlier command."""
    names = {question: _name(question) for question in questions}
    remembered = user_cache.known(_file(target))
    return {question: remembered[name] for question, name in names.items() if name in remembered}


def remember(target: str, answers: Mapping[str, Any]) -> None:
    """Remember answers of `target`, by question."""
    if answers:
        user_cache.remember(_file(target), {_name(question): answers[question] for question in answers}, MOST)


def _file(target: str) -> str:
    return f"{target.replace(':', '.')}.json"


def _name(question: str) -> str:
    return user_cache.name(_surroundings(), question)


@cache
def _surroundings() -> str:
    """Return the digest of this code and of the libraries' versions."""
    return user_cache.name(user_cache.sources("harness", "methods", "tasks"), *map(installed, LIBRARIES))
