"""Delta-tuning methods, one file each; `base.py` is their contract, `anatomy.py` says where a backbone keeps what."""
