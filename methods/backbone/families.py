"""Where each model family keeps q, k, v, o, ffn-in, ffn-gate, ffn-out, norms, blocks. Torch-free rows.

A new family is one row of FAMILIES. Patterns are regular expressions for the end of a module's dotted name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Family:
    """One architecture.

    model_types: `config.model_type` of its members.
    roles: role -> pattern. `attention` modules call transformers' attention interface, `cross` are those that
    look at an encoder; `blocks` are layers; `norms` are the normalisations of width D that have weights.
    after: "attention", "cross", "ffn" -> the module whose output is the sublayer's, just before the residual
    sum; "stream" -> the module whose output is the stream after the feed-forward's residual sum (post-norm:
    the norm itself).
    before: "attention", "cross", "ffn" -> a module whose first argument is the sublayer's input.
    stack: the module that takes the input embeddings ("" is the backbone itself).
    prompt_at: where soft prompts go: 0 before the first token, 1 after it (a masked encoder's [CLS] stays
    first).
    rotary: keys are rotated by position after the projection, so their bias matters.
    positions_ask: keys are also compared with positions (DeBERTa's position-to-content term), so their bias matters.
    distances: attention knows the distance of two tokens and no position, so a text reads the same wherever it stands.
    fused: q, k and v are the rows of one linear, in this order. interleaved: they are, but head by head, so that no
    role has rows of its own.
    fused_gate: "ffn-in" is one linear that makes the gate and what it opens, so it is twice as wide.
    read_by_parent: modules that never run: the module that holds them reads their weights.
    experts: the feed-forward is a mixture of experts without linear modules.
    sizes: name in `Shape` -> attribute of the config.
    """

    name: str
    model_types: tuple[str, ...]
    roles: Mapping[str, str]
    after: Mapping[str, str]
    before: Mapping[str, str]
    sizes: Mapping[str, str]
    stack: str = ""
    prompt_at: int = 0
    rotary: bool = False
    positions_ask: bool = False
    distances: bool = False
    fused: bool = False
    interleaved: bool = False
    fused_gate: bool = False
    read_by_parent: str = ""
    experts: bool = False

    @property
    def key_bias_matters(self) -> bool:
        """Return whether one constant on all keys changes the attention; the rest of a fused linear lives anyway."""
        return self.rotary or self.positions_ask


_T5 = Family(
    name="t5",
    model_types=("t5", "mt5"),
    roles={
        "q": r"(SelfAttention|EncDecAttention)\.q",
        "k": r"(SelfAttention|EncDecAttention)\.k",
        "v": r"(SelfAttention|EncDecAttention)\.v",
        "o": r"(SelfAttention|EncDecAttention)\.o",
        "ffn-in": r"DenseReluDense\.(wi|wi_1)",  # gated: wi_0 goes through the activation, wi_1 does not
        "ffn-gate": r"DenseReluDense\.wi_0",
        "ffn-out": r"DenseReluDense\.wo",
        "norms": r"(layer\.\d+\.layer_norm|final_layer_norm)",
        "attention": r"(SelfAttention|EncDecAttention)",
        "cross": r"EncDecAttention",
        "blocks": r"block\.\d+",
    },
    after={
        "attention": r"block\.\d+\.layer\.0\.dropout",
        "cross": r"decoder\.block\.\d+\.layer\.1\.dropout",
        "ffn": r"(encoder\.block\.\d+\.layer\.1|decoder\.block\.\d+\.layer\.2)\.dropout",
        "stream": r"(encoder\.block\.\d+\.layer\.1|decoder\.block\.\d+\.layer\.2)",
    },
    before={
        "attention": r"SelfAttention\.q",
        "cross": r"EncDecAttention\.q",
        "ffn": r"DenseReluDense",
    },
    sizes={
        "width": "d_model",
        "ffn": "d_ff",
        "heads": "num_heads",
        "head_width": "d_kv",
        "encoder": "num_layers",
        "decoder": "num_decoder_layers",
    },
    stack="encoder",
    distances=True,
)

_BART = Family(
    name="bart",
    model_types=("bart",),
    roles={
        "q": r"(self_attn|encoder_attn)\.q_proj",
        "k": r"(self_attn|encoder_attn)\.k_proj",
        "v": r"(self_attn|encoder_attn)\.v_proj",
        "o": r"(self_attn|encoder_attn)\.out_proj",
        "ffn-in": r"layers\.\d+\.fc1",
        "ffn-out": r"layers\.\d+\.fc2",
        "norms": r"(self_attn_layer_norm|encoder_attn_layer_norm|final_layer_norm|layernorm_embedding)",
        "attention": r"(self_attn|encoder_attn)",
        "cross": r"encoder_attn",
        "blocks": r"layers\.\d+",
    },
    after={
        "attention": r"self_attn\.out_proj",
        "cross": r"encoder_attn\.out_proj",
        "ffn": r"layers\.\d+\.fc2",
        "stream": r"layers\.\d+\.final_layer_norm",
    },
    before={
        "attention": r"self_attn\.q_proj",
        "cross": r"encoder_attn\.q_proj",
        "ffn": r"layers\.\d+\.fc1",
    },
    sizes={
        "width": "d_model",
        "ffn": "encoder_ffn_dim",
        "heads": "encoder_attention_heads",
        "encoder": "encoder_layers",
        "decoder": "decoder_layers",
        "decoder_ffn": "decoder_ffn_dim",
        "decoder_heads": "decoder_attention_heads",
    },
    stack="encoder",
)

_BERT = Family(
    name="bert",
    model_types=("bert", "roberta", "xlm-roberta", "camembert"),
    roles={
        "q": r"attention\.self\.query",
        "k": r"attention\.self\.key",
        "v": r"attention\.self\.value",
        "o": r"attention\.output\.dense",
        "ffn-in": r"intermediate\.dense",
        "ffn-out": r"layer\.\d+\.output\.dense",
        "norms": r"(embeddings|attention\.output|layer\.\d+\.output)\.LayerNorm",
        "attention": r"attention\.self",
        "blocks": r"encoder\.layer\.\d+",
    },
    after={
        "attention": r"attention\.output\.dropout",
        "ffn": r"layer\.\d+\.output\.dropout",
        "stream": r"layer\.\d+\.output\.LayerNorm",
    },
    before={"attention": r"attention\.self\.query", "ffn": r"intermediate\.dense"},
    sizes={
        "width": "hidden_size",
        "ffn": "intermediate_size",
        "heads": "num_attention_heads",
        "encoder": "num_hidden_layers",
    },
    prompt_at=1,
)

_ELECTRA = replace(  # the norm of its embeddings is as wide as they are, which may be less than the model
    _BERT,
    name="electra",
    model_types=("electra",),
    roles=dict(_BERT.roles) | {"norms": r"(attention\.output|layer\.\d+\.output)\.LayerNorm"},
)

_DEBERTA = replace(  # no role "attention": it is disentangled, its own code
    _BERT,
    name="deberta",
    model_types=("deberta-v2",),
    roles={role: pattern for role, pattern in _BERT.roles.items() if role != "attention"}
    | {
        "q": r"attention\.self\.query_proj",
        "k": r"attention\.self\.key_proj",
        "v": r"attention\.self\.value_proj",
        "norms": r"(embeddings|attention\.output|layer\.\d+\.output|encoder)\.LayerNorm",
    },
    before={"attention": r"attention\.self", "ffn": r"intermediate\.dense"},
    positions_ask=True,
    read_by_parent=r"encoder\.rel_embeddings",
)

_MODERNBERT = Family(
    name="modernbert",
    model_types=("modernbert",),
    roles={
        "q": r"attn\.Wqkv",
        "k": r"attn\.Wqkv",
        "v": r"attn\.Wqkv",
        "o": r"attn\.Wo",
        "ffn-in": r"mlp\.Wi",
        "ffn-out": r"mlp\.Wo",
        "norms": r"(embeddings\.norm|attn_norm|mlp_norm|final_norm)",
        "attention": r"attn",
        "blocks": r"layers\.\d+",
    },
    after={"attention": r"attn\.out_drop", "ffn": r"mlp\.Wo", "stream": r"layers\.\d+"},
    before={"attention": r"attn\.Wqkv", "ffn": r"mlp"},
    sizes=_BERT.sizes,
    prompt_at=1,
    rotary=True,
    fused=True,
    fused_gate=True,
)

_GPT2 = Family(
    name="gpt2",
    model_types=("gpt2",),
    roles={
        "q": r"attn\.c_attn",
        "k": r"attn\.c_attn",
        "v": r"attn\.c_attn",
        "o": r"attn\.c_proj",
        "ffn-in": r"mlp\.c_fc",
        "ffn-out": r"mlp\.c_proj",
        "norms": r"(ln_1|ln_2|ln_f)",
        "attention": r"attn",
        "blocks": r"h\.\d+",
    },
    after={"attention": r"attn\.resid_dropout", "ffn": r"mlp\.dropout", "stream": r"h\.\d+"},
    before={"attention": r"attn\.c_attn", "ffn": r"mlp\.c_fc"},
    sizes={"width": "n_embd", "ffn": "n_inner", "heads": "n_head", "encoder": "n_layer"},
    fused=True,
)

_BIGCODE = replace(
    _GPT2,
    name="gpt_bigcode",
    model_types=("gpt_bigcode",),
    sizes=dict(_GPT2.sizes) | {"kv_heads": "num_key_value_heads"},
)

_GPTJ = Family(  # no role "attention": its attention is its own code, not transformers' interface
    name="gptj",
    model_types=("gptj",),
    roles={
        "q": r"attn\.q_proj",
        "k": r"attn\.k_proj",
        "v": r"attn\.v_proj",
        "o": r"attn\.out_proj",
        "ffn-in": r"mlp\.fc_in",
        "ffn-out": r"mlp\.fc_out",
        "norms": r"(ln_1|ln_f)",
        "blocks": r"h\.\d+",
    },
    after={"attention": r"attn\.resid_dropout", "ffn": r"mlp\.dropout", "stream": r"h\.\d+"},
    before={"attention": r"attn\.q_proj", "ffn": r"mlp"},
    sizes={"width": "n_embd", "ffn": "n_inner", "heads": "n_head", "encoder": "n_layer"},
    rotary=True,
)

_GPT_NEO = replace(
    _GPTJ,
    name="gpt_neo",
    model_types=("gpt_neo",),
    roles={
        "q": r"attention\.q_proj",
        "k": r"attention\.k_proj",
        "v": r"attention\.v_proj",
        "o": r"attention\.out_proj",
        "ffn-in": r"mlp\.c_fc",
        "ffn-out": r"mlp\.c_proj",
        "norms": r"(ln_1|ln_2|ln_f)",
        "blocks": r"h\.\d+",
    },
    after={"attention": r"attention\.resid_dropout", "ffn": r"mlp\.dropout", "stream": r"h\.\d+"},
    before={"attention": r"attention\.q_proj", "ffn": r"mlp"},
    sizes={"width": "hidden_size", "ffn": "intermediate_size", "heads": "num_heads", "encoder": "num_layers"},
    rotary=False,
)

_BLOOM = Family(  # no role "attention", as of GPT-J; the residual is added in the sublayer, after these linears
    name="bloom",
    model_types=("bloom",),
    roles={
        "q": r"self_attention\.query_key_value",
        "k": r"self_attention\.query_key_value",
        "v": r"self_attention\.query_key_value",
        "o": r"self_attention\.dense",
        "ffn-in": r"mlp\.dense_h_to_4h",
        "ffn-out": r"mlp\.dense_4h_to_h",
        "norms": r"(word_embeddings_layernorm|input_layernorm|post_attention_layernorm|ln_f)",
        "blocks": r"h\.\d+",
    },
    after={"attention": r"self_attention\.dense", "ffn": r"mlp\.dense_4h_to_h", "stream": r"h\.\d+"},
    before={"attention": r"self_attention\.query_key_value", "ffn": r"mlp\.dense_h_to_4h"},
    sizes={"width": "hidden_size", "heads": "n_head", "encoder": "n_layer"},
    fused=True,
    interleaved=True,
)

_NEOX = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    roles={
        "q": r"attention\.query_key_value",
        "k": r"attention\.query_key_value",
        "v": r"attention\.query_key_value",
        "o": r"attention\.dense",
        "ffn-in": r"mlp\.dense_h_to_4h",
        "ffn-out": r"mlp\.dense_4h_to_h",
        "norms": r"(input_layernorm|post_attention_layernorm|final_layer_norm)",
        "attention": r"attention",
        "blocks": r"layers\.\d+",
    },
    after={"attention": r"post_attention_dropout", "ffn": r"post_mlp_dropout", "stream": r"layers\.\d+"},
    before={"attention": r"attention\.query_key_value", "ffn": r"mlp"},
    sizes={
        "width": "hidden_size",
        "ffn": "intermediate_size",
        "heads": "num_attention_heads",
        "encoder": "num_hidden_layers",
    },
    rotary=True,
    fused=True,
    interleaved=True,
)

_OPT = Family(
    name="opt",
    model_types=("opt",),
    roles={
        "q": r"self_attn\.q_proj",
        "k": r"self_attn\.k_proj",
        "v": r"self_attn\.v_proj",
        "o": r"self_attn\.out_proj",
        "ffn-in": r"layers\.\d+\.fc1",
        "ffn-out": r"layers\.\d+\.fc2",
        "norms": r"(self_attn_layer_norm|final_layer_norm)",
        "attention": r"self_attn",
        "blocks": r"layers\.\d+",
    },
    after={"attention": r"self_attn\.out_proj", "ffn": r"layers\.\d+\.fc2", "stream": r"layers\.\d+"},
    before={"attention": r"self_attn\.q_proj", "ffn": r"layers\.\d+\.fc1"},
    sizes={"width": "hidden_size", "ffn": "ffn_dim", "heads": "num_attention_heads", "encoder": "num_hidden_layers"},
    stack="decoder",
)

_DISTILBERT = Family(
    name="distilbert",
    model_types=("distilbert",),
    roles={
        "q": r"attention\.q_lin",
        "k": r"attention\.k_lin",
        "v": r"attention\.v_lin",
        "o": r"attention\.out_lin",
        "ffn-in": r"ffn\.lin1",
        "ffn-out": r"ffn\.lin2",
        "norms": r"(embeddings\.LayerNorm|sa_layer_norm|output_layer_norm)",
        "attention": r"attention",
        "blocks": r"layer\.\d+",
    },
    after={"attention": r"attention\.out_lin", "ffn": r"ffn\.dropout", "stream": r"output_layer_norm"},
    before={"attention": r"attention\.q_lin", "ffn": r"ffn"},
    sizes={"width": "dim", "ffn": "hidden_dim", "heads": "n_heads", "encoder": "n_layers"},
    prompt_at=1,
)

_LLAMA = Family(
    name="llama",
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma", "granite", "smollm3"),
    roles={
        "q": r"self_attn\.q_proj",
        "k": r"self_attn\.k_proj",
        "v": r"self_attn\.v_proj",
        "o": r"self_attn\.o_proj",
        "ffn-in": r"mlp\.up_proj",
        "ffn-gate": r"mlp\.gate_proj",
        "ffn-out": r"mlp\.down_proj",
        # of the width of the model: not the norms of single heads (qwen3's q_norm, k_norm)
        "norms": r"(input_layernorm|(pre|post)_feedforward_layernorm|post_attention_layernorm|norm)",
        "attention": r"self_attn",
        "blocks": r"layers\.\d+",
    },
    after={"attention": r"self_attn\.o_proj", "ffn": r"mlp\.down_proj", "stream": r"layers\.\d+"},
    before={"attention": r"self_attn\.q_proj", "ffn": r"mlp"},
    sizes={
        "width": "hidden_size",
        "ffn": "intermediate_size",
        "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads",
        "head_width": "head_dim",
        "encoder": "num_hidden_layers",
    },
    rotary=True,
)

_PHI = replace(  # attention and feed-forward side by side, of one normalised input
    _LLAMA,
    name="phi",
    model_types=("phi",),
    roles={role: pattern for role, pattern in _LLAMA.roles.items() if role != "ffn-gate"}
    | {
        "o": r"self_attn\.dense",
        "ffn-in": r"mlp\.fc1",
        "ffn-out": r"mlp\.fc2",
        "norms": r"(input_layernorm|final_layernorm)",
    },
    after={"attention": r"self_attn\.dense", "ffn": r"mlp\.fc2", "stream": r"layers\.\d+"},
)

_PHI3 = replace(
    _LLAMA,
    name="phi3",
    model_types=("phi3",),
    roles={role: pattern for role, pattern in _LLAMA.roles.items() if role != "ffn-gate"}
    | dict.fromkeys(("q", "k", "v"), r"self_attn\.qkv_proj")
    | {"ffn-in": r"mlp\.gate_up_proj"},
    before={"attention": r"self_attn\.qkv_proj", "ffn": r"mlp"},
    fused=True,
    fused_gate=True,
)

_STARCODER2 = replace(
    _LLAMA,
    name="starcoder2",
    model_types=("starcoder2",),
    roles={role: pattern for role, pattern in _LLAMA.roles.items() if role != "ffn-gate"}
    | {"ffn-in": r"mlp\.c_fc", "ffn-out": r"mlp\.c_proj"},
    after={"attention": r"self_attn\.o_proj", "ffn": r"mlp\.c_proj", "stream": r"layers\.\d+"},
)

_COHERE = replace(  # attention and feed-forward side by side, as in Phi
    _LLAMA,
    name="cohere",
    model_types=("cohere", "cohere2"),
)

_POST_NORM = replace(  # the sublayer's output is normalised before the residual sum
    _LLAMA,
    name="post_norm",
    model_types=("gemma2", "gemma3_text", "olmo2"),
    after={
        "attention": r"post_attention_layernorm",
        "ffn": r"post_feedforward_layernorm",
        "stream": r"layers\.\d+",
    },
)

_OLMO = replace(  # its norms have no weights
    _LLAMA,
    name="olmo",
    model_types=("olmo",),
    roles={role: pattern for role, pattern in _LLAMA.roles.items() if role != "norms"},
)

_MIXTRAL = replace(
    _LLAMA,
    name="mixtral",
    model_types=("mixtral",),
    roles={role: pattern for role, pattern in _LLAMA.roles.items() if not role.startswith("ffn-")},
    after=dict(_LLAMA.after) | {"ffn": r"mlp"},
    experts=True,
)

FAMILIES = (
    *(_T5, _BART, _BERT, _ELECTRA, _DEBERTA, _DISTILBERT, _MODERNBERT),
    *(_GPT2, _BIGCODE, _GPTJ, _GPT_NEO, _BLOOM, _NEOX, _OPT),
    *(_LLAMA, _PHI, _PHI3, _STARCODER2, _COHERE, _POST_NORM, _OLMO, _MIXTRAL),
)
