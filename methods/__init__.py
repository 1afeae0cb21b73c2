"""Delta-tuning methods, one file each; the contract is in `base.py`, the machinery in the folders."""
