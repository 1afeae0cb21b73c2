"""Values as compressed text inside an HTML page, which the browser unpacks when it needs them. Torch-free."""

import base64
import gzip
import json
import math
from typing import Any

DIGITS = 6
"""The significant digits of a number on the page. The store has all of them."""
DRAWN_DIGITS = 4
"""The same of a point of a curve, which is only drawn."""


def pack(value: Any) -> str:
    """Return a value as JSON, compressed by gzip and written in base64: no character of it means anything in HTML."""
    text = json.dumps(shortened(value), separators=(",", ":"))  # ASCII, so half a surrogate pair is an escape
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode("ascii")


def shortened(value: Any, digits: int = DIGITS) -> Any:
    """Return the same value with fewer digits, and None for a number that is not finite."""
    kind = type(value)
    if kind is float:
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if kind is dict:
        return {str(name): shortened(item, digits) for name, item in value.items()}
    return [shortened(item, digits) for item in value] if kind is list or kind is tuple else value
