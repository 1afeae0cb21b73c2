"""The options of each group, by name or by pattern. Torch-free."""

import fnmatch
from collections.abc import Iterable

from harness.config.conf_files import files
from harness.errors import UsageError, near
from harness.training.objectives import registry as objectives
from methods import registry as methods
from tasks import registry as tasks


def names(group: str) -> tuple[str, ...]:
    """Return every option of a group: its YAML files, and what installed packages register without one."""
    registered: Iterable[str] = ()
    if group == "method":
        registered = methods.catalogue()
    elif group == "task":
        registered = tasks.catalogue()
    elif group == "objective":
        registered = objectives.ANSWERS
    return tuple(sorted({*files(group), *registered}))


def match(group: str, pattern: str) -> list[str]:
    """Return the options that a name, or a pattern with * ? [], stands for. Raise UsageError where there is none.

    No pattern stands for the task that a command line has to describe.
    """
    if pattern in files(group):
        return [pattern]
    known = names(group)
    if pattern in known:
        return [pattern]
    if not any(sign in pattern for sign in "*?["):
        hint = methods.instead(pattern, known) if group == "method" else f".{near(pattern, known)}"
        raise UsageError(f"there is no {group} {pattern!r}{hint}")
    matching = fnmatch.filter((name for name in known if (group, name) != ("task", tasks.OWN_NAME)), pattern)
    if not matching:
        raise UsageError(f"no {group} matches the pattern {pattern!r}.{near(pattern, known)}")
    return matching
