"""Whether a verdict holds under choices that the data cannot settle."""
