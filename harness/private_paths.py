"""Texts without paths of this machine, for files that are shared. Torch is not imported.

An error or the end of a log names files, and with them a user and a machine. Of a path the last name remains, which is
useful to a reader. The folders above it become `…`.
"""

import os
import platform
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_PATH = re.compile(r"(?<![\w./<…~-])(?:file://)?~?[\w.-]*/(?!/)(?:[^\s/'\"`:;,()\[\]{}<>|*?\\]+/)+(?=[^/]|$)")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)+")
_FIELDS = {
    "model.path": "FOLDER",
    "model.location": "FOLDER",
    "model.tokenizer": "FOLDER",
    "task.data_dir": "FOLDER",
    "task.files": "FILES",
}
"""Fields of a command line that hold paths of this machine."""
CONFIG_DIR = "--config-dir"


def hidden(value: Any, known: Iterable[str] = ()) -> Any:
    """Return the same value, in whose texts no absolute path is left. known: paths that are hidden whatever
    their form.
    """
    hidden_texts = sorted({*filter(None, known), *_own()}, key=len, reverse=True)
    return _hidden(value, tuple(text for text in hidden_texts if len(text) > 3))


def paths(content: Mapping[str, Any]) -> list[str]:
    """Return the paths among the runtime fields of a cell as JSON."""
    parts = (part for part in content.values() if isinstance(part, Mapping))
    values = [*(value for part in parts for value in part.values()), content.get("config_dir")]
    absolute = [value for value in values if isinstance(value, str) and os.path.isabs(value)]
    return [path.rstrip("/") for path in absolute]


def command(text: str) -> str:
    """Return a command line with placeholders for this machine's folders."""
    words = shlex.split(text)
    if CONFIG_DIR in words:
        words[words.index(CONFIG_DIR) + 1] = "FOLDER"
    pairs = [word.partition("=") for word in words]
    return shlex.join(
        f"{key}={_FIELDS[key]}" if _is_place(key, value) else f"{key}{equals}{value}" for key, equals, value in pairs
    )


def _is_place(key: str, value: str) -> bool:
    """Return whether a word of a command line holds a path of this machine; a location may be an id of the Hub."""
    return key in _FIELDS and value not in ("bytes", "null") and (key != "model.location" or os.path.isabs(value))


def _hidden(value: Any, known: tuple[str, ...]) -> Any:
    """Return the value with the known texts and all absolute paths shortened."""
    if isinstance(value, str):
        for path in known:
            value = value.replace(path, f"…/{os.path.basename(path)}" if os.path.isabs(path) else "…")
        return _WINDOWS.sub("…/", _PATH.sub(_shortened, value))
    if isinstance(value, Mapping):
        return {_hidden(name, known): _hidden(item, known) for name, item in value.items()}
    return [_hidden(item, known) for item in value] if isinstance(value, list | tuple) else value


def _shortened(match: re.Match[str]) -> str:
    """Return a path without its folders; a relative path stays, as it names nothing of this machine."""
    text = match[0].removeprefix("file://")
    return "…/" if text.startswith(("/", "~")) else match[0]


@cache
def _own() -> tuple[str, ...]:
    """Return this user's home, and this machine's name where it is no common word."""
    home, node = str(Path.home()), platform.node()
    return (*([home] if home.count("/") > 1 else []), *([node] if len(node) > 5 else []))
