"""Rules for YAML files from elsewhere: they name things by name, and never the code that runs.

Neither Hydra nor torch is imported.

Hydra turns `_target_` into a call, its logging turns `()` and `class` into one, and a defaults list can reach both. A
user's folder therefore holds options only. Of Hydra's own settings it may set the launcher's fields alone.

Hydra fills in `${…}`, which can read the environment (`${oc.env:NAME}`), and the values of a YAML enter records, cards
and pushes. So an option states its values literally. Only a launcher's YAML may refer to the launcher's own fields.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.config import yaml_values
from harness.errors import UsageError
from harness.files import plain_files

CALLS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_", "()")
LAUNCHER = "hydra/launcher"
_FILLED_IN = re.compile(r"\$\{")
_OWN_FIELD = re.compile(r"\$\{launcher\.[A-Za-z_]\w*\}")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)


def check(folder: Path, groups: Sequence[str]) -> None:
    """Raise UsageError for a file of a user's folder that could name code.

    Files that do not parse are skipped here; their reader reports them.
    """
    for path in (folder / "attempt.yaml", folder / "hydra"):
        if path.exists():
            raise UsageError(f"{path}: a conf folder of yours may hold only run.yaml, {', '.join(groups)}; remove it.")
    for path in (path for group in groups for path in (folder / group).rglob("*") if path.is_symlink()):
        if path.is_dir():
            raise UsageError(f"{path}: this is a link to another folder; put the files themselves there.")
    places = [*folder.glob("*.yaml"), *(path for group in groups for path in (folder / group).rglob("*.yaml"))]
    for path in sorted(places):
        try:
            text = plain_files.read_text(path)
            content = yaml_values.load(text)
        except (OSError, ValueError):
            continue
        for wrong in (*_packages(text), *_keys(content), *_hydra(content), *_defaults(content, path, folder, groups)):
            raise UsageError(f"{path}: {wrong}. A YAML names things by name; code comes as an installed package.")


def check_references(content: Any, path: Path, own: bool = False) -> None:
    """Raise UsageError for a file that is used and refers to other values: see `references`.

    A file that is not used is no obstacle, and `deltabench list` reports its error.
    """
    for field, value in references(content, own):
        raise UsageError(
            f"{path}: {field} refers to {value[:80]!r}. A YAML states its values literally: write the value."
        )


def trouble(path: Path, own: bool = False) -> str:
    """Return why a YAML cannot be used, as a sentence; "" where no reason is known."""
    try:
        check_references(yaml_values.load(plain_files.read_text(path)), path, own)
    except UsageError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"{path}: it cannot be read: {' '.join(str(error).split())[:200]}"
    return ""


def references(content: Any, own: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (field, value) of every text with a `${…}` that Hydra would fill in.

    own: references to the launcher's own fields are left out. Names of fields and items of lists are searched too,
    among them the defaults list.
    """
    pending, seen = [("", content)], set()
    while pending:
        field, value = pending.pop()
        if isinstance(value, str | bytes):
            text = value if isinstance(value, str) else value.decode(errors="replace")
            if _FILLED_IN.search(_OWN_FIELD.sub("", text) if own else text):
                yield field or "its content", text
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [(f"{field}.{name}".lstrip("."), item) for name, item in inner]
            pending += [(str(name), name) for name in value if isinstance(value, dict)]


def _packages(text: str) -> Iterator[str]:
    """Yield a complaint for each `# @package` line that names Hydra's own settings."""
    for package in _PACKAGE.findall(text):
        if package.startswith("hydra"):
            yield f"its package is {package}"


def _keys(content: Any) -> Iterator[str]:
    """Yield a complaint for each key that Hydra would turn into a call, at any depth."""
    pending, seen = [content], set()
    while pending:
        value = pending.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from (f"it uses {key}" for key in value if key in CALLS)
        pending += value.values() if isinstance(value, dict) else value


def _hydra(content: Any) -> Iterator[str]:
    """Yield a complaint for each of Hydra's settings except the launcher's."""
    settings = content.get("hydra") if isinstance(content, dict) else None
    if isinstance(settings, dict):
        yield from (f"it sets hydra.{key}" for key in settings if key != "launcher")
    elif settings is not None:
        yield "it sets hydra"
    if isinstance(content, dict):
        yield from (f"it sets {key}" for key in content if str(key).startswith("hydra."))


def _defaults(content: Any, path: Path, folder: Path, groups: Sequence[str]) -> Iterator[str]:
    """Yield a complaint for each entry of a defaults list that reaches Hydra's settings or leaves the groups."""
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
