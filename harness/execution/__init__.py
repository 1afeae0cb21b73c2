"""Sweeps: launchers, workers, the outcome of each attempt, progress and trackers."""
