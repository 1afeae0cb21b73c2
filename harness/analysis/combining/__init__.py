"""Methods and tasks together: combinations, sequences, transfer between tasks, one model for several tasks."""
