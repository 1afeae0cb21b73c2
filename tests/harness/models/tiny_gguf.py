"""A GGUF file of a tiny LLaMA, with the weights of a model of transformers, written by the package `gguf`."""

from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

WIDTH, HEADS, KEY_HEADS, LAYERS = 32, 4, 2, 2
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]


def model() -> LlamaForCausalLM:
    """Return the model, whose output layer is tied to its embeddings."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=512, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, pad_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    made = LlamaForCausalLM(config)
    torch.nn.init.normal_(made.get_input_embeddings().weight, std=0.5)
    return made.eval()


def write(path: Path, architecture: str = "llama", quantised: bool = False) -> LlamaForCausalLM:
    """Write the file and return the model. quantised: matrices in Q8_0, as far as their width allows."""
    made = model()
    writer = gguf.GGUFWriter(path, architecture)
    _describe(writer)
    for name, tensor in made.state_dict().items():
        if name != "lm_head.weight":
            values = _permuted(name, tensor).numpy()
            if quantised and values.ndim == 2:
                kind = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(_name(name), gguf.quantize(values, kind), raw_dtype=kind)
            else:
                writer.add_tensor(_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


def _describe(writer: Any) -> None:
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(TOKENS) - 3)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)


def _name(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _permuted(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in llama.cpp's order: the two halves of each head's rotation stand beside each other."""
    heads = HEADS if "q_proj" in name else KEY_HEADS if "k_proj" in name else 0
    if not heads:
        return tensor
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
