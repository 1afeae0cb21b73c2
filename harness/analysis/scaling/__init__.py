"""What changes with size: the backbone's, the delta's, and the number of examples that a model sees."""
