"""How an architecture reads an example: one file per objective."""
