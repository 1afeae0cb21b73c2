"""Tasks: `base.py` is their contract, one suite per file, `microworld/` is the embedded default."""
