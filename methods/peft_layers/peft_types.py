"""What `method=peft` does with each type, start and field of the PEFT library: it runs, or it is refused for a reason.

Torch is not imported, so `deltabench list fields peft` prints these tables.
"""

from collections.abc import Mapping

RUNS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "GLORA", "GRALORA", "HIRA", "HRA", "IA3", "LILY",
            "LOHA", "LOKR", "LORA", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "RANDLORA", "ROAD", "SHIRA",
            "SUPERTUNING", "WAVEFT",
        ),
        "it is no more than layers in the places of others",
    ),
    "ADALORA": "update_and_allocate is called after each step, and the orthogonality loss is added",
}  # fmt: skip
"""Type -> how it runs."""

_CALL = "it wraps the model's call; prompt, prefix and ptuning are methods of their own"
_SHARED = "PEFT refuses to insert layers that share state"
REFUSED: Mapping[str, str] = {
    "ADAMSS": "it reads the weights to choose its size, so no plan knows the size before they are loaded",
    "ADAPTION_PROMPT": "it wraps the attention of LLaMA, not linears",
    "LN_TUNING": "it changes normalisations, not linears; take method=layernorm",
    "POLY": "it needs the ids of several tasks with every batch",
    "SHADOW": "it wraps the call of the whole model",
    "TRAINABLE_TOKENS": "its places are rows of the embedding, not linears",
    "XLORA": "it mixes adapters that are trained already",
    **dict.fromkeys(
        ("CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"), _CALL
    ),
    **dict.fromkeys(("FROD", "PVERA", "TINYLORA", "UNILORA", "VBLORA", "VERA"), _SHARED),
}
"""Type -> why it does not run."""

STARTS: Mapping[str, str] = {
    "true": "A is Kaiming-uniform, B is zero",
    "false": "A and B are random, so the start is not the backbone",
    "gaussian": "A is normal, B is zero",
    "orthogonal": "A and B are orthogonal to each other, their product is zero",
    "pissa": "A and B are the principal singular vectors, and the frozen weight is the rest",
    "olora": "A and B are the first factors of a QR decomposition, and the frozen weight is the rest",
    "mica": "B is the minor singular vectors and stays, A starts at zero",
}
"""Value of `init_lora_weights` -> what it does."""
FROM_WEIGHTS = ("pissa", "olora", "mica")
"""Starts that read the weights, which a plan does not have."""
REWRITING = ("pissa", "olora")
"""Starts that change the frozen weights."""
REFUSED_STARTS: Mapping[str, str] = {
    "corda": "it needs preprocess_corda, a pass over train rows; take method=lora method.init=corda",
    "eva": "it needs initialize_lora_eva_weights, a pass over train rows; take method=lora method.init=eva",
    "loftq": "it needs loftq_config and a frozen weight that is rounded at the start; take method=qlora",
    "lora_ga": "it needs preprocess_loraga, gradients of train rows; take method=lora method.init=lora_ga",
    "pissa_niter_N": "its frozen weight depends on random draws that no file stores; take init_lora_weights=pissa",
}
"""Value of `init_lora_weights` -> why it does not run, and what does."""

LAYERS_OF_LORA = frozenset({
    "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "lora_bias", "bias", "init_lora_weights",
    "rank_pattern", "alpha_pattern", "exclude_modules", "fan_in_fan_out",
})  # fmt: skip
FIELDS: Mapping[str, frozenset[str]] = {
    "LORA": LAYERS_OF_LORA,
    "ADALORA": frozenset({
        "init_r", "target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "lora_alpha",
        "lora_dropout", "bias", "exclude_modules", "fan_in_fan_out",
    }),
}  # fmt: skip
"""Type -> the fields that act on its layers; PEFT ignores the others there, or they need more than layers."""

VALUES: Mapping[str, str] = {
    **{f"method.peft_type={kind}": f"runs: {how}" for kind, how in sorted(RUNS.items())},
    **{f"method.peft_type={kind}": f"refused: {why}" for kind, why in sorted(REFUSED.items())},
    **{f"method.settings=[init_lora_weights={start}]": f"runs: {how}" for start, how in STARTS.items()},
    **{f"method.settings=[init_lora_weights={start}]": f"refused: {why}" for start, why in REFUSED_STARTS.items()},
}
"""Assignment -> whether it runs, and how or why not."""
