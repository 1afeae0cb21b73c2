"""The claims by subject, one file each, and in `claim.py` what a claim is. `claims.py` finds them by name."""
