"""Texts without places of this machine: for what is passed on. Torch-free.

An error or the end of a log names files, and with them a user and a machine. Of a path the last name stays, which is
what its reader can use; the folders above it become `…`.
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
_FIELDS = {"model.path": "FOLDER", "model.tokenizer": "FOLDER", "task.data_dir": "FOLDER", "task.files": "FILES"}
"""Fields of a command line that say where something lies here."""
CONFIG_DIR = "--config-dir"


def hidden(value: Any, known: Iterable[str] = ()) -> Any:
    """The same value, in whose texts no absolute path is left. known: paths that are hidden whatever they look like."""
    said = sorted({*filter(None, known), *_own()}, key=len, reverse=True)
    return _hidden(value, tuple(one for one in said if len(one) > 3))


def paths(content: Mapping[str, Any]) -> list[str]:
    """The paths among the runtime fields of a cell as JSON."""
    parts = (part for part in content.values() if isinstance(part, Mapping))
    said = [*(one for part in parts for one in part.values()), content.get("config_dir")]
    found = [one for one in said if isinstance(one, str) and os.path.isabs(one)]
    return [one.rstrip("/") for one in found]


def command(text: str) -> str:
    """A command line in which another machine's reader fills in the places."""
    words = shlex.split(text)
    if CONFIG_DIR in words:
        words[words.index(CONFIG_DIR) + 1] = "FOLDER"
    pairs = [word.partition("=") for word in words]
    return shlex.join(
        f"{key}={_FIELDS[key]}" if key in _FIELDS and value not in ("bytes", "null") else f"{key}{equals}{value}"
        for key, equals, value in pairs
    )


def _hidden(value: Any, known: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for one in known:
            value = value.replace(one, f"…/{os.path.basename(one)}" if os.path.isabs(one) else "…")
        return _WINDOWS.sub("…/", _PATH.sub(_shortened, value))
    if isinstance(value, Mapping):
        return {_hidden(name, known): _hidden(one, known) for name, one in value.items()}
    return [_hidden(one, known) for one in value] if isinstance(value, list | tuple) else value


def _shortened(found: re.Match[str]) -> str:
    """A relative path names nothing of this machine."""
    text = found[0].removeprefix("file://")
    return "…/" if text.startswith(("/", "~")) else found[0]


@cache
def _own() -> tuple[str, ...]:
    """This user's home, and this machine's name where it is no common word."""
    home, node = str(Path.home()), platform.node()
    return (*([home] if home.count("/") > 1 else []), *([node] if len(node) > 5 else []))
