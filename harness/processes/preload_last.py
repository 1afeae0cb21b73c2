"""The last imports of a forkserver: what every cell reads of our methods and tasks, and the source of all modules.

A suite or a method of another package is left to each cell's own process, because its files may change in between.
Python's garbage collector leaves alone what is loaded here: in each child it would read some 400,000 objects, a quarter
of a second for a search that frees nothing, and its marks would make the child copy their memory.
"""

import gc

from harness.store import imported_source
from methods import registry as methods
from tasks import registry as tasks

methods.catalogue()
tasks.import_suites()
imported_source.keep()
gc.collect()
gc.freeze()
