"""Checks of cells that passed, remembered between commands: a child that repeats them takes seconds to import torch.

What a check reads follows from its text (the method's fields, and the digests of the model's files and of the task's
rows), from this code and from the libraries. So a check is never remembered that reads something else: a method or a
task of another package, a model of the Hub, or a model's own code. A check that failed is always repeated.
"""

from collections.abc import Collection, Iterable
from functools import cache

from harness.config import user_cache
from harness.config.schema import Cell
from harness.store import fingerprint
from harness.store.fingerprint import Subject
from harness.store.provenance import installed

FILE = "passed-checks.json"
MOST = 50_000
"""The number of checks after which the file begins anew."""
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "bitsandbytes", "gguf")


def can_be_remembered(cell: Cell) -> bool:
    """Return whether all that the checks of a cell read follows from their texts, our code and the libraries."""
    model = cell.model
    return model.source != "hub" and not model.trust_remote_code and fingerprint.is_ours(Subject.of_cell(cell))


def passed(check: str, texts: Iterable[str]) -> set[str]:
    """Return which of these checks passed before, by the function `check`."""
    known = user_cache.known(FILE)
    return {text for text in texts if _name(check, text) in known}


def remember(check: str, texts: Collection[str]) -> None:
    """Remember that these checks passed."""
    if texts:
        user_cache.remember(FILE, {_name(check, text): True for text in texts}, MOST)


def _name(check: str, text: str) -> str:
    return user_cache.name(_surroundings(), check, text)


@cache
def _surroundings() -> str:
    """Return the digest of this code and of the libraries' versions."""
    return user_cache.name(user_cache.sources("harness", "methods", "tasks"), *map(installed, LIBRARIES))
