"""Imported last by a forkserver: remembers the source of all that it has loaded."""

from harness.store import imported_source

imported_source.keep()
