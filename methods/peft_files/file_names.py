"""The names of PEFT's adapter files. Torch is not imported."""

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
"""The file of PEFT's old adapters, which is never read."""
