"""The digests of generated tasks, remembered between commands in the user's cache. Torch-free.

Rows that are generated follow from the sources of this package, the Python that runs them and the configuration alone,
and so does their digest. Making the rows takes some .1 s a task, and a command that looks at all exhibits asks for
dozens.
"""

from collections.abc import Callable
from dataclasses import asdict

from harness.config import user_cache
from harness.config.schema import TaskConfig

FILE = "generated-tasks.json"
MOST = 4096
"""The number of digests after which the file begins anew."""


def digest(config: TaskConfig, make: Callable[[], str]) -> str:
    """Return the digest of a generated task's rows: the remembered one, or that of `make`, which reads the rows."""
    name = user_cache.name(user_cache.sources("tasks"), sorted(asdict(config).items()))
    remembered = user_cache.known(FILE).get(name)
    if isinstance(remembered, str):
        return remembered
    made = make()
    user_cache.remember(FILE, {name: made}, MOST)
    return made
