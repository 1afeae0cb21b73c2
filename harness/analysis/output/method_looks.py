"""One colour and one marker per method, the same in every figure of the project and on the page. Torch-free.

`conf/palette.yaml` has the order of the methods. A method that it does not name gets its look from the digest of its
name, so no look depends on what else is drawn or installed.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from harness import assets
from harness.config import yaml_values
from harness.files import plain_files

COLOURS = (
    ("#0072B2", "#4FA8E0"), ("#D55E00", "#F28A3C"), ("#009E73", "#35C79B"), ("#CC79A7", "#E09CC3"),
    ("#E69F00", "#F0B93A"), ("#56B4E9", "#8CCFF5"), ("#332288", "#9C8FE8"), ("#882255", "#D6709F"),
    ("#999933", "#C4C45C"), ("#44AA99", "#6FD0C0"), ("#AA4499", "#D884CB"), ("#117733", "#57B877"),
    ("#661100", "#D07B66"), ("#6699CC", "#93BCE4"), ("#777711", "#B5B54A"),
)  # fmt: skip
"""On a white page and on a dark one. The first six are Okabe and Ito's, distinct for colour-blind readers; the others
are Tol's muted ones.
"""
MARKERS = "osD^vPX*<>dph8H"
"""One for each colour, so that methods differ without colours, too. matplotlib draws them, and page.js beside them."""
HATCHES = ("", "//", "--", "\\\\", "xx", "||", "++")
"""Of bars, which have no markers."""
NEUTRAL = (("#8c8c8c", "#9a9a9a", "."), ("#000000", "#f2f2f2", "s"))
LISTED = 60
"""Places that are reserved for the names in the palette."""


@dataclass(frozen=True)
class Look:
    """The look of a method. dark: its colour on a dark page. hatch: of a bar."""

    color: str
    dark: str
    marker: str
    hatch: str = ""


def of(method: str) -> Look:
    """Return the look of a method by its name alone."""
    neutral, order = _palette()
    if method in neutral:
        return Look(*NEUTRAL[neutral.index(method)])
    return _at(order.index(method) if method in order else _place(method))


@cache
def _palette() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the neutral names and the order of the others."""
    content = yaml_values.load(plain_files.read_text(assets.conf() / "palette.yaml"))
    return tuple(map(str, content["neutral"])), tuple(map(str, content["order"]))


def _place(method: str) -> int:
    """Return the place of a method without one in the palette, behind all reserved places."""
    digest = int.from_bytes(hashlib.sha256(method.encode(errors="replace")).digest()[:8], "big")
    return LISTED + digest % (len(COLOURS) * len(MARKERS) - LISTED)


def _at(place: int) -> Look:
    """Return the look of a place. After each round of the colours, the markers are shifted by one."""
    color, dark = COLOURS[place % len(COLOURS)]
    marker = MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]
    return Look(color, dark, marker, HATCHES[place % len(HATCHES)])
