"""The last import of a forkserver: it stores the source of all modules that were loaded."""

from harness.store import imported_source

imported_source.keep()
