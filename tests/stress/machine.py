"""Copied to `sitecustomize.py` by kills.py: each process of a sweep is one of a machine whose name a variable says.

So two sweeps of one store are on two machines, and a lease lasts for seconds, so that a freeze can outlast it.
"""

import os
import platform

if name := os.environ.get("DELTABENCH_STRESS_MACHINE"):
    platform.node = lambda: name
    from harness.store import lease

    lease.STALE_S, lease.WATCH_S, lease.HEARTBEAT_S = 4.0, 1.5, 0.5
