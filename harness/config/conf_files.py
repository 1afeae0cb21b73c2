"""What can be named: the YAML files of each group, ours and a user's. No Hydra, no torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness import assets, atomic_files
from harness.config import yaml_safety
from harness.errors import UsageError
from harness.paths import located

GROUPS = ("method", "model", "task", "recipe")
_added: list[Path] = []


def use(folder: str) -> None:
    """Look into a user's conf folder too, before ours (`--config-dir`)."""
    path = located(folder).resolve()
    if not path.is_dir():
        raise UsageError(f"--config-dir {folder}: there is no such folder.")
    yaml_safety.check(path, (*GROUPS, "launcher", "exhibit"))
    if path not in _added:
        _added.insert(0, path)


@contextmanager
def looking_into(folder: Path | None) -> Iterator[None]:
    """While the block runs, options are ours and those of this one folder. UsageError as `use`."""
    before = _added[:]
    _added.clear()
    try:
        if folder is not None:
            use(str(folder))
        yield
    finally:
        _added[:] = before


def added() -> Path | None:
    """The user's folder that is looked into; None where there is none."""
    return _added[0] if _added else None


def folders() -> tuple[Path, ...]:
    """The conf folders, the first that has a file wins."""
    return (*_added, assets.conf())


def files(group: str) -> Mapping[str, Path]:
    """Option -> file of one group, e.g. "micro/sentiment" -> conf/task/micro/sentiment.yaml."""
    return _files(group, folders())


@cache
def _files(group: str, where: tuple[Path, ...]) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for folder in reversed(where):
        for path in sorted((folder / group).glob("**/*.yaml")):
            found[path.relative_to(folder / group).with_suffix("").as_posix()] = path
    return dict(sorted(found.items()))


def _text(path: Path) -> str:
    try:
        return atomic_files.read_bytes(path, atomic_files.MOST_TEXT, linked=True).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def header(path: Path) -> str:
    """What a YAML's header says it is: its first sentences up to the command, wrapped lines joined."""
    told = ""
    for line in _text(path).splitlines():
        if line.startswith("# @package"):
            continue
        text, command, _ = line.lstrip("# ").partition("deltabench ")
        if not line.startswith("#") or (told and command and not text):
            break
        told = f"{told} {text.strip()}".strip()
        if command or told.endswith((".", "?", "!")):
            break
    return told
