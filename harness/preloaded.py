"""Imported last by a forkserver: remembers the source of all that it has loaded."""

from harness import imported

imported.keep()
