"""The YAML files of each group, ours and a user's. Neither Hydra nor torch is imported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness import assets
from harness.config import yaml_safety
from harness.errors import UsageError
from harness.files import plain_files
from harness.paths import located

GROUPS = ("method", "model", "task", "recipe")
_added: list[Path] = []


def use(folder: str) -> None:
    """Read a user's conf folder too, before ours (`--config-dir`).

    Raises UsageError where the folder does not exist or holds a file that may not be there.
    """
    path = located(folder).resolve()
    if not path.is_dir():
        raise UsageError(f"--config-dir {folder}: there is no such folder.")
    yaml_safety.check(path, (*GROUPS, "launcher", "exhibit"))
    if path not in _added:
        _added.insert(0, path)


@contextmanager
def looking_into(folder: Path | None) -> Iterator[None]:
    """Restrict options to ours and those of this one folder while the block runs. Raises UsageError as `use` does."""
    before = _added[:]
    _added.clear()
    try:
        if folder is not None:
            use(str(folder))
        yield
    finally:
        _added[:] = before


def added() -> Path | None:
    """Return the user's folder that is read, or None where there is none."""
    return _added[0] if _added else None


def folders() -> tuple[Path, ...]:
    """Return the conf folders; the first one that has a file wins."""
    return (*_added, assets.conf())


def files(group: str) -> Mapping[str, Path]:
    """Return option -> file of one group, e.g. "micro/sentiment" -> conf/task/micro/sentiment.yaml."""
    return _files(group, folders())


@cache
def _files(group: str, searched: tuple[Path, ...]) -> Mapping[str, Path]:
    """Return the files of one group; the folders are an argument so that the cache follows them."""
    paths: dict[str, Path] = {}
    for folder in reversed(searched):
        for path in sorted((folder / group).glob("**/*.yaml")):
            paths[path.relative_to(folder / group).with_suffix("").as_posix()] = path
    return dict(sorted(paths.items()))


def _text(path: Path) -> str:
    try:
        return plain_files.read_bytes(path, plain_files.MOST_TEXT, linked=True).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def header(path: Path) -> str:
    """Return the description in a YAML's header: its first sentences up to the command, with wrapped lines joined."""
    description = ""
    for line in _text(path).splitlines():
        if line.startswith("# @package"):
            continue
        text, command, _ = line.lstrip("# ").partition("deltabench ")
        if not line.startswith("#") or (description and command and not text):
            break
        description = f"{description} {text.strip()}".strip()
        if command or description.endswith((".", "?", "!")):
            break
    return description
