"""The forms in which a delta is shared, and the names of their files. Torch is not imported."""

from harness import failure
from methods.peft_files import file_names

METHOD = "method.json"
TENSORS = "delta.safetensors"
FILES = {"peft": (file_names.CONFIG, file_names.TENSORS), "deltabench": (METHOD, TENSORS)}
"""Form -> (the file that describes the delta, the file of its tensors)."""


def wrong(error: Exception) -> str:
    """Return in words what is wrong with a file of JSON that describes a delta."""
    match error:
        case KeyError():
            return f"it lacks {error.args[0]!r}"
        case TypeError() | AttributeError():
            return "a part of it is of another kind"
    return failure.reason(error)
