"""What YAML from elsewhere may not say: it names things by name, and never what code runs. No Hydra, no torch.

Hydra turns `_target_` into a call, its logging turns `()` and `class` into one, and a defaults list can reach both. A
folder of a user's own holds choices; of Hydra's own settings only the launcher's fields are among them.

Hydra fills in `${…}`, which can read the environment (`${oc.env:NAME}`), and what a YAML says stands in records, cards
and pushes. So a choice says its values outright; only a launcher's YAML may refer to the launcher's own fields.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import atomic_files
from harness.config import yaml_values
from harness.errors import UsageError

CALLS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_", "()")
LAUNCHER = "hydra/launcher"
_FILLED_IN = re.compile(r"\$\{")
_OWN_FIELD = re.compile(r"\$\{launcher\.[A-Za-z_]\w*\}")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)


def check(folder: Path, groups: Sequence[str]) -> None:
    """UsageError for a file of a user's folder that could name code. Files that do not parse are left to the reader."""
    for path in (folder / "attempt.yaml", folder / "hydra"):
        if path.exists():
            raise UsageError(f"{path}: this is not a choice; a folder of yours holds run.yaml, {', '.join(groups)}.")
    for path in (path for group in groups for path in (folder / group).rglob("*") if path.is_symlink()):
        if path.is_dir():
            raise UsageError(f"{path}: this is a link to another folder; put the files themselves into yours.")
    places = [*folder.glob("*.yaml"), *(path for group in groups for path in (folder / group).rglob("*.yaml"))]
    for path in sorted(places):
        try:
            text = atomic_files.read_text(path)
            content = yaml_values.load(text)
        except (OSError, ValueError):
            continue
        for wrong in (*_packages(text), *_keys(content), *_hydra(content), *_defaults(content, path, folder, groups)):
            raise UsageError(f"{path}: {wrong}. A YAML names things by name; code comes as an installed package.")


def check_said(content: Any, path: Path, own: bool = False) -> None:
    """Raise UsageError for a file that is used and refers to values: see `references`. Another one stands in nobody's
    way, and `deltabench list` tells what is wrong about it.
    """
    for field, value in references(content, own):
        raise UsageError(f"{path}: {field} says {value[:80]!r}. A YAML says its values outright: write the value.")


def trouble(path: Path, own: bool = False) -> str:
    """Why a YAML cannot be used, in words; "" where nothing is known against it."""
    try:
        check_said(yaml_values.load(atomic_files.read_text(path)), path, own)
    except UsageError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{path}: it cannot be read: {' '.join(str(error).split())[:200]}"
    return ""


def references(content: Any, own: bool = False) -> Iterator[tuple[str, str]]:
    """(field, value) of every text with a `${…}` that Hydra would fill in. own: but not one to the launcher's fields.

    Names of fields are looked at too, and what stands in lists, among them the defaults list.
    """
    left, seen = [("", content)], set()
    while left:
        field, value = left.pop()
        if isinstance(value, str | bytes):
            text = value if isinstance(value, str) else value.decode(errors="replace")
            if _FILLED_IN.search(_OWN_FIELD.sub("", text) if own else text):
                yield field or "its content", text
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{field}.{name}".lstrip("."), one) for name, one in inner]
            left += [(str(name), name) for name in value if isinstance(value, dict)]


def _packages(text: str) -> Iterator[str]:
    for package in _PACKAGE.findall(text):
        if package.startswith("hydra"):
            yield f"its package is {package}"


def _keys(content: Any) -> Iterator[str]:
    """Keys that would become a call, wherever they are."""
    left, seen = [content], set()
    while left:
        value = left.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from (f"it says {key}" for key in value if key in CALLS)
        left += value.values() if isinstance(value, dict) else value


def _hydra(content: Any) -> Iterator[str]:
    settings = content.get("hydra") if isinstance(content, dict) else None
    if isinstance(settings, dict):
        yield from (f"it sets hydra.{key}" for key in settings if key != "launcher")
    elif settings is not None:
        yield "it sets hydra"
    if isinstance(content, dict):
        yield from (f"it sets {key}" for key in content if str(key).startswith("hydra."))


def _defaults(content: Any, path: Path, folder: Path, groups: Sequence[str]) -> Iterator[str]:
    """Entries that reach into Hydra's settings or out of the groups."""
    listed = content.get("defaults") if isinstance(content, dict) else None
    for entry in listed if isinstance(listed, list) else []:
        for named in entry if isinstance(entry, dict) else [entry]:
            words = str(named).split()
            target, _, package = (words[-1] if words else "").partition("@")
            absolute = target.startswith("/") or path.parent == folder
            group = target.strip("/")
            known = group == LAUNCHER or group.partition("/")[0] in (*groups, "_self_") or not absolute
            if not known or ".." in target or package.lstrip("_").startswith(("hydra", "global_.hydra")):
                yield f"its defaults list names {named!r}"
