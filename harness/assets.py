"""The folders of data files that are distributed with the code: YAML, published numbers, reference runs."""

from functools import cache
from pathlib import Path

_INSTALLED = Path(__file__).parent / "_assets"
_CHECKOUT = Path(__file__).parent.parent


@cache
def root() -> Path:
    """Return the folder that holds `conf/` and `results/`: inside the wheel, or the checkout of an editable install."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


@cache
def conf() -> Path:
    """Return the folder of the YAML files."""
    return root() / "conf"


def published() -> Path:
    """Return the folder of numbers that papers report."""
    return root() / "results" / "published"


def reference() -> Path:
    """Return the folder of our own committed records."""
    return root() / "results" / "reference"
