"""The exhibits' figures, one file for each kind."""
