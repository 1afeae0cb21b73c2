"""What a training step takes in bf16 on this CPU, beside one in fp32, in alternation in one run.

python tests/benchmarks/bf16_step.py [times] [out.json]

A step is forward and backward of a model of random weights, with LoRA or all parameters, on one thread. Precision is
that of `recipe.precision`: weights in fp32, and in bf16 the products. Seconds are those of the thread.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
import transformers

from harness.config.schema import MethodConfig
from harness.measurement import cpu_features
from harness.precision import computing
from methods import registry as methods
from methods.backbone.trainable_parameters import freeze


def t5(width: int, inner: int, layers: int, heads: int, words: int) -> Any:
    config = transformers.T5Config(d_model=width, d_ff=inner, num_layers=layers, num_heads=heads, vocab_size=words)
    config.update({"d_kv": width // heads, "dropout_rate": 0.0, "decoder_start_token_id": 0})
    return transformers.T5ForConditionalGeneration(config)


def minilm() -> Any:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip


def smollm2() -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, tie_word_embeddings=True,
        )
    )  # fmt: skip


SHAPES: dict[str, tuple[Callable[[], Any], int, int]] = {
    "T5, 64 wide, 2 + 2 layers": (lambda: t5(64, 256, 2, 4, 1024), 16, 48),
    "MiniLM, 384 wide, 6 layers": (minilm, 16, 64),
    "T5, 512 wide, 6 + 6 layers": (lambda: t5(512, 2048, 6, 8, 32128), 8, 64),
    "SmolLM2, 576 wide, 30 layers": (smollm2, 2, 128),
}
"""Model, rows and tokens of a batch."""


def step(model: Any, rows: int, tokens: int, precision: str) -> None:
    ids = torch.randint(3, 1000, (rows, tokens))
    labels = torch.randint(0, 2, (rows,)) if "Classification" in type(model).__name__ else ids
    with computing(precision, torch.device("cpu")):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    model.zero_grad()


def measure(shape: str, method: str, times: int) -> dict[str, Any]:
    """Return the medians of a step's seconds in both precisions, and of their ratio."""
    build, rows, tokens = SHAPES[shape]
    torch.manual_seed(0)
    model = build()
    freeze(model)
    methods.make(MethodConfig(method, {})).attach(model)
    taken: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for turn in range(times + 1):
        for precision, seconds in taken.items():
            started = time.thread_time()
            step(model, rows, tokens, precision)
            if turn:  # the first one allocates
                seconds.append(time.thread_time() - started)
    ratios = [low / full for full, low in zip(*taken.values(), strict=True)]
    return {
        "shape": shape,
        "method": method,
        "rows": rows,
        "tokens": tokens,
        "seconds": {precision: statistics.median(seconds) for precision, seconds in taken.items()},
        "ratio": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
    }


def main(times: int, out: str) -> None:
    torch.set_num_threads(1)
    print(f"instructions for bf16: {', '.join(cpu_features.bf16() or ()) or 'none known'}")
    figures = []
    for shape in SHAPES:
        for method in ("lora", "full"):
            figures.append(row := measure(shape, method, times))
            least, most = row["ratios"]
            full, low = (1e3 * seconds for seconds in row["seconds"].values())
            print(
                f"{shape:30} {method:5} {full:8.1f} ms in fp32 {low:8.1f} in bf16   {row['ratio']:.2f} "
                f"({least:.2f}, {most:.2f})",
                flush=True,
            )
    if out:
        content = {"times": times, "torch": torch.__version__, "bf16": cpu_features.bf16(), "rows": figures}
        Path(out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["5"])[0]), (sys.argv[2:] or [""])[0])
