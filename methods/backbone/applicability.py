"""Which method goes on which family, without importing torch: read from matrix.json.

`python -m tests.methods.backbone.test_applicability` writes the file: it attaches every method to a tiny backbone of
every model type. The test of that name fails where the file and the methods disagree.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("matrix.json")
YES = "yes"


@cache
def matrix() -> Mapping[str, Mapping[str, str]]:
    """Return method -> backbone -> "yes", or the reason why not with the method's default fields."""
    read: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return read


def families(method: str) -> Mapping[str, str]:
    """Return the row of one method; empty for a method from another package."""
    return matrix().get(method, {})
