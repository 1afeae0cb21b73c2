"""Numbers that are written as texts, as data files and answers of models have them. Torch is not imported."""

import math
import re
from typing import Any

_DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def finite(value: Any) -> float | None:
    """Return the finite number that a value or its text is; None for any other value, true and false among them.

    Python's own reading also accepts 1_000 and the digits of other scripts. Those are more likely a mistake in a file.
    """
    if isinstance(value, bool) or (isinstance(value, str) and not _DECIMAL.fullmatch(value)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
