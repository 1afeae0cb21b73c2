"""Adapter files of the PEFT library: what is written and what is read."""
