"""Convert one GGUF file into a folder of safetensors in fp32. It runs in a process of its own.

python -m harness.models.gguf_conversion FILE.gguf FOLDER      prints {"tensors": {KIND: COUNT}} or {"error": SENTENCE}
"""

import json
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST = "100GB"
"""One file for all tensors, which our reader takes directly."""


def convert(file: Path, folder: Path) -> dict[str, Any]:
    """Write config.json, the weights and the tokenizer of a GGUF file, and return the number of tensors by their kind.

    Raises ValueError with a sentence where the file is cut off or transformers does not read it.
    """
    tensors = kinds(file)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        config = AutoConfig.from_pretrained(**where)
        family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = family.from_pretrained(**where, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # each architecture checks its own fields, with errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"transformers does not read this GGUF file ({reason:.200}). Take another file, or the model's safetensors."
        ) from error
    if not all(p.is_floating_point() for p in model.parameters()):
        raise ValueError("transformers leaves its weights quantised here. Take the model's safetensors.")
    model.is_quantized, model.hf_quantizer = False, None
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(folder, max_shard_size=LARGEST)
    tokenizer.save_pretrained(folder)
    return {"tensors": dict(tensors)}


def kinds(file: Path) -> Mapping[str, int]:
    """Return how many tensors a file has of each kind of numbers (F32, Q4_1 …).

    Raises ValueError for a file that is not whole.
    """
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(file).tensors
    except Exception as error:  # the reader maps the file, and its errors are those of numpy where the file ends early
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"this is not a whole GGUF file ({reason:.200}). Get it again.") from error
    return Counter(tensor.tensor_type.name for tensor in tensors)


def main(file: str, folder: str) -> int:
    """Convert, and print the outcome as one line of JSON."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        print(json.dumps(convert(Path(file), Path(folder))))
    except (ValueError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
