"""The last imports of a forkserver: what every cell reads of our methods and tasks, and the source of all modules.

A suite or a method of another package is left to each cell's own process, because its files may change in between.
"""

from harness.store import imported_source
from methods import registry as methods
from tasks import registry as tasks

methods.catalogue()
tasks.import_suites()
imported_source.keep()
