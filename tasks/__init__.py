"""Tasks: suites of data sets in one file each; the contract is in `base.py`, the machinery in the folders."""
