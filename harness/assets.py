"""Where the data files live that travel with the code: YAML, published numbers, reference runs."""

from pathlib import Path

_INSTALLED = Path(__file__).parent / "_assets"
_CHECKOUT = Path(__file__).parent.parent


def root() -> Path:
    """The folder that holds `conf/` and `results/`: inside the wheel, or the checkout of an editable install."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def conf() -> Path:
    return root() / "conf"


def published() -> Path:
    return root() / "results" / "published"


def reference() -> Path:
    return root() / "results" / "reference"
