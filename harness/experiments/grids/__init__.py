"""A grid is a list of blocks of choices; grid.py expands it into cells, and the other files are its parts."""
