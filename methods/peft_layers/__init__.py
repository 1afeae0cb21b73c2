"""The PEFT library's layers in a model: which of its types run, its settings, and its allocation of ranks."""
