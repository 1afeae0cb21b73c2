"""Facts about the attempts at a cell that a sweep decides by. Torch is not imported."""

from harness.store.store import Store


def tried(store: Store, key: str) -> int:
    """Return the number of the latest attempt that ended by itself; 0 for none."""
    ended = (number for number, status in store.attempts(key) if status != "interrupted")
    return max(ended, default=0)


def whole_seconds(store: Store, key: str) -> float | None:
    """Return the seconds of a finished cell; None where it is not done, or went on from a checkpoint."""
    record = store.read(key) or {}
    wall = (record.get("time") or {}).get("wall_s")
    whole = record.get("status") == "done" and not record.get("resumed_from")
    return float(wall) if whole and isinstance(wall, int | float) else None
