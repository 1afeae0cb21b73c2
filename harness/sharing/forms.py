"""The forms in which a delta is shared, and the names of their files. Torch is not imported."""

from methods.peft_files import file_names

METHOD = "method.json"
TENSORS = "delta.safetensors"
FILES = {"peft": (file_names.CONFIG, file_names.TENSORS), "deltabench": (METHOD, TENSORS)}
"""Form -> (the file that describes the delta, the file of its tensors)."""
