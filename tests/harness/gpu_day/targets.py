"""What processes of a day run in the tests of its control flow."""

import os
import time
from typing import Any


def good(value: int) -> dict[str, Any]:
    print("this line belongs to the log")
    return {"value": value}


def too_large() -> dict[str, Any]:
    raise MemoryError("the device is full")


def broken() -> dict[str, Any]:
    raise ValueError("two\nlines")


def endless() -> dict[str, Any]:
    time.sleep(600)
    return {}


def dying() -> dict[str, Any]:
    os._exit(3)
