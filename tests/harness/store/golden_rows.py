"""The numbers of the results version, computed: `python -m tests.harness.store.golden_rows` writes the file anew.

Each row trains a tiny backbone for three steps through `harness.run.run`, or calls one function on fixed values. All
of it is in double precision, what transformers and the objectives would compute in single precision included, so
that two machines agree in the nine digits that a row keeps.

Three things have fewer rows than one would wish. bfloat16 keeps eight bits, and each kind of processor adds them up in
an order of its own, so only where numbers are rounded is kept. The processes of ddp and fsdp would not be in double
precision; that two processes train as one does is a law in tests/harness/training/test_step_parts.py, and the row of
`parallel` is of a step in parts. What bitsandbytes computes (qlora, qdora) has no double precision either: the digest
of the methods' source stands for it.
"""

import gzip
import json
import math
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.integrations import moe

from harness import run as page
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.models import backbone
from harness.store import results_version
from harness.store.attempt_folder import AttemptFolder
from harness.training import determinism
from harness.training.batches import Order
from harness.training.course import learning_rates
from harness.training.objectives import registry as objectives
from methods import registry as methods
from methods.attachment.delta_state import delta_state
from methods.backbone import applicability, families
from methods.base import Parent
from tasks import registry as tasks
from tasks.metrics.label_metrics import METRICS
from tests.methods.toys import TOYS

Row = Callable[[], list[float]]
COMMAND = "python -m tests.harness.store.golden_rows"
TOKENIZER = Path(tasks.__file__).parent / "microworld" / "tokenizer"
VOCABULARY = 1009  # the microworld's words, and room for the tokens that a method adds
QUICK = "gpt2"
RECIPE = RecipeConfig(
    learning_rate=1e-2, schedule="constant", warmup_share=0.0, gradient_clip=0.0, steps=3, evaluate_every=3,
    batch_size=4, dropout=0.0,
)  # fmt: skip
DATA = {"train_size": 8, "validation_size": 4, "test_size": 4, "max_input_tokens": 40}
ANSWERS = {"label": "micro/sentiment", "choice": "micro/qa-choice", "text": "micro/qa"}
NUMBERS = "numbers"
"""The name of a task of rows with numbers, which no suite of the microworld has."""
UNPROVED = ("qlora", "qdora")
"""Methods whose matrices no CPU computes in double precision. The digest of their source stands for them."""
UNPROVED_TOYS = ("llama-zero-rows",)
"""Random weights replace the zero rows."""
METHOD_FIELDS: Mapping[str, Mapping[str, Any]] = {"combine": {"parts": ["lora rank=2", "bitfit"]}}
PREDICTIONS: Mapping[str, tuple[list[Any], list[Any]]] = {
    "label": ([0, 1, 2, 1, 0, 2, 1], [0, 2, 2, 1, 1, 2, 1]),
    "number": ([0.5, 1.0, 2.5, 2.5, 4.0], ["1.0", "0.5", "none", "3", "3.5"]),
    "options": ([0, 1, 1], [[-1.0, -2.0], [-0.5, -0.25, -3.0], 0]),
    "text": (
        ["The cat sat on the mat.", ["a red hat", "the hat"], "he runs home"],
        ["the cat sat on a mat", "Hat", "he ran to his home"],
    ),
    "answer": (["solution1", "the answer is true", "ending4"], ["It is solution2", "true", "nothing"]),
    "sum": (["so #### 1,200", "7"], ["I get 1200.0", "it is 6 or 8"]),
}
METRIC_INPUTS = {
    **dict.fromkeys(("pearson", "spearman"), "number"),
    **dict.fromkeys(("exact_match", "token_f1", "text_accuracy", "rouge_l", "bleu"), "text"),
    **{"option_likelihood": "options", "extracted_accuracy": "answer", "number_accuracy": "sum"},
}


@contextmanager
def double_precision() -> Iterator[None]:
    """Meanwhile what asks for single precision gets double, also inside transformers."""
    with pytest.MonkeyPatch.context() as patch:
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        patch.setitem(backbone.DTYPES, "fp32", torch.float64)
        for name in ("float", "float32"):
            patch.setattr(torch, name, torch.float64)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        patch.setattr(moe, "_can_use_grouped_mm", lambda *_: False)  # it has no double precision; a loop has
        patch.setattr(page.step_profile, "operations", lambda *_: {})  # operations and bytes are no results
        patch.setattr(page.step_profile, "counted", lambda record, *_: record)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def rows(full: bool = True) -> dict[str, Row]:
    """Row name -> its computation. full: every method on every class of backbone and all toys of a family, else one."""
    return {
        **_method_rows(full),
        **_family_rows(full),
        **_objective_rows(),
        **_feature_rows(),
        **_shared_rows(),
        **_metric_rows(),
    }


ANSWERS_ARE_NUMBERS = ("objective classifier/number",)


def compute(row: Row) -> list[str]:
    """Return the row's numbers, of nine significant digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [f"{value:.9g}" for value in row()]
    finally:
        torch.set_num_threads(threads)


def agrees(name: str, kept: list[str] | tuple[str, ...], now: list[str]) -> bool:
    """Return whether a row is what was kept of it.

    Processors differ in the last digits of an answer that is a number, so the checksum of such answers is left out; the
    metrics of the row follow from the answers, too.
    """
    return same(kept[:-1], now[:-1]) if name in ANSWERS_ARE_NUMBERS else same(kept, now)


def same(kept: list[str] | tuple[str, ...], now: list[str]) -> bool:
    """Return whether two rows agree to within the last digit that they keep."""
    close = (math.isclose(float(a), float(b), rel_tol=2e-8, abs_tol=1e-12) for a, b in zip(kept, now, strict=False))
    return len(kept) == len(now) and all(close)


def write() -> list[str]:
    """Write the file anew, and return the names of the rows that changed. A row that agrees keeps its digits."""
    known, found = results_version.golden(), {}
    with double_precision():
        for name, row in rows().items():
            now = compute(row)
            found[name] = list(known[name]) if name in known and agrees(name, known[name], now) else now
    lines = [f"{json.dumps(name)}: {json.dumps(digits)}" for name, digits in sorted(found.items())]
    results_version.FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return sorted(name for name in {*known, *found} if list(known.get(name, ())) != found.get(name))


def _method_rows(full: bool) -> dict[str, Row]:
    usual = [name for name, toy in TOYS.items() if toy.usual]
    found: dict[str, Row] = {}
    for method in sorted({*methods.catalogue()} - {*UNPROVED}):
        fit_for = [toy for toy in usual if applicability.families(method).get(toy) == applicability.YES]
        for toy in fit_for if full else fit_for[-2:-1] or fit_for[:1]:
            found[f"method {method}/{toy}"] = partial(_trained, toy, method)
    return found


def _family_rows(full: bool) -> dict[str, Row]:
    toys = sorted({*TOYS} - {*UNPROVED_TOYS})
    first = {_family(toy): toy for toy in reversed(toys)}
    return {
        f"family {_family(toy)}/{toy}": partial(_trained, toy, "full") for toy in (toys if full else first.values())
    }


def _objective_rows() -> dict[str, Row]:
    kinds = {"seq2seq": "t5", "causal": QUICK, "masked": "roberta-masked", "classifier": "bert-head"}
    return {
        f"objective {objective}/{answer}": partial(_trained, kinds[objective], "full", answer)
        for objective, answers in objectives.ANSWERS.items()
        for answer in answers
        if answer != "number" or objective == "classifier"  # elsewhere a number is a text
    }


def _feature_rows() -> dict[str, Row]:
    recipes: dict[str, dict[str, Any]] = {
        **{f"optimizer={name}": {"optimizer": name} for name in ("adamw", "adafactor", "sgd", "lomo", "galore")},
        **{f"schedule={name}": {"schedule": name} for name in ("linear", "cosine", "constant")},
        "warmup_share": {"warmup_share": 0.67},
        "gradient_clip": {"gradient_clip": 0.1},
        "weight_decay": {"weight_decay": 0.5},
        "accumulate": {"accumulate": 3},
        "gradient_checkpointing": {"gradient_checkpointing": True},
        "dropout": {"dropout": 0.2},
        "loss_on": {"loss_on": "all"},
        "awake_layers": {"awake_layers": 1, "awake_every": 1},
    }
    readings = {"beams": ("text", {"beams": 3}), "option_score": ("choice", {"option_score": "mean"})}
    readings |= {"shots": ("label", {"shots": 2}), "max_input_tokens": ("label", {"max_input_tokens": 6})}
    found: dict[str, Row] = {
        f"{name}/{QUICK}": partial(_trained, QUICK, "full", **one) for name, one in recipes.items()
    }
    for name, (answer, fields) in readings.items():
        found[f"{name}/{QUICK}"] = partial(_trained, QUICK, "full", answer, task=fields)
    found["option_score/choose"] = _chosen
    found["precision/adamw"] = _lower_precision
    found["parallel/parts"] = partial(_trained, QUICK, "lora", accumulate=2)
    return found


def _shared_rows() -> dict[str, Row]:
    return {
        "training/lora": partial(_trained, QUICK, "lora"),
        "training/order of few rows": partial(_order, 10),
        "training/order of many rows": partial(_order, 400),
        "training/seeds": _seeds,
        **{f"training/{name}": partial(_schedule, name) for name in ("linear", "cosine", "constant")},
        **{f"inputs/{answer}": partial(_ids, answer) for answer in ANSWERS},
    }


def _metric_rows() -> dict[str, Row]:
    return {f"metric {name}/fixed": partial(_metric, name) for name in METRICS}


def _metric(name: str) -> list[float]:
    targets, predictions = PREDICTIONS[METRIC_INPUTS.get(name, "label")]
    return [value for _, value in sorted(METRICS[name](targets, predictions).items())]


def _order(count: int) -> list[float]:
    lengths = torch.arange(count) * 7 % 13 + 1
    order = Order(lengths, 4, 5)
    return [float(row) for step in (0, 1, 2, 3, 120) for row in order.rows(step)]


def _seeds() -> list[float]:
    one = _cell(QUICK, "full")
    seeds = [determinism.seed_for(one, purpose) for purpose in ("head", "method", "order", "dropout", "shots")]
    return [float(half) for seed in seeds for half in divmod(seed, 2**16)]


def _schedule(name: str) -> list[float]:
    return [
        learning_rates.schedule(RecipeConfig(schedule=name, steps=7, warmup_share=0.3), step) for step in range(1, 8)
    ]


def _ids(answer: str) -> list[float]:
    """The token ids of one row with its template, whole and cut."""
    from harness.models import tokenizer

    words = tokenizer.load(_model(QUICK), 0)
    task = tasks.load(_task(answer))
    example = task.splits.train[0]
    text = task.template.format(**example.fields)
    return [float(i) for limit in (200, 6) for i in words.inputs([text], limit)[0][0]]


def _chosen() -> list[float]:
    """The option chosen by the sum of its tokens' log-likelihoods, and by their mean."""
    sums, options = torch.tensor([[-2.0, -3.0]]), torch.tensor([[[4, -1, -1], [5, 6, 7]]])
    return [float(objectives.Reading(option_score=by).choose(sums, options)) for by in ("sum", "mean")]


def _lower_precision() -> list[float]:
    """A matrix product in bfloat16 has a hundredth of the digits, so this row keeps where numbers are rounded."""
    from harness import precision

    with precision.computing("bf16", torch.device("cpu")):
        product = torch.ones(2, 2, dtype=torch.bfloat16) @ torch.full((2, 2), 1.0078125, dtype=torch.bfloat16)
    return [float(product.sum()), float(product.dtype == torch.bfloat16)]


def _trained(
    toy: str, method: str, answer: str = "label", task: Mapping[str, Any] | None = None, **recipe: Any
) -> list[float]:
    return list(_train(toy, method, answer, tuple((task or {}).items()), tuple(recipe.items())))


@cache
def _train(toy: str, method: str, answer: str, task: tuple[Any, ...], recipe: tuple[Any, ...]) -> tuple[float, ...]:
    """Losses and scores of a tiny cell: validation before, training, validation after; the test score."""
    one = _cell(toy, method, answer, dict(task), **dict(recipe))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(page.trained_tensors, "load", lambda _, cell: _parents(cell))
        runtime = Runtime(device="cpu", keep="none", sample_ms=0.0, store=f"{folder}/store")
        record = page.run(one, runtime, AttemptFolder(Path(folder)))
        with gzip.open(f"{folder}/predictions.jsonl.gz", "rt") as file:
            answers = [json.loads(line)["prediction"] for line in file]
        curve = [json.loads(line) for line in (Path(folder) / "curve.jsonl").read_text().splitlines()]
    losses = [row[name] for row in curve for name in ("train_loss", "validation_loss") if row[name] is not None]
    figures = record["scores"]["last"]["sets"]["test"]
    return (
        *losses,
        # commonest follows from the answers, whose checksum stands below
        *(value for name, value in sorted(figures.items()) if name not in ("n", "commonest")),
        record["parameters"]["delta"],
        _checksum(answers),
    )


def _checksum(answers: list[Any]) -> int:
    """A number that another answer to any row changes, of nine digits."""
    return zlib.crc32(json.dumps(answers).encode()) % 10**9


def _cell(toy: str, method: str, answer: str = "label", task: Mapping[str, Any] | None = None, **recipe: Any) -> Cell:
    fields = methods.resolve(method, dict(METHOD_FIELDS.get(method, {})))
    settings = replace(RECIPE, **recipe)
    return Cell(MethodConfig(method, fields), _model(toy), _task(answer, **task or {}), TOYS[toy].kind, settings, 0)


@cache
def _model(toy: str) -> ModelConfig:
    torch.manual_seed(0)
    config = TOYS[toy].build().config
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    settings = {**config.to_diff_dict(), "vocab_size": VOCABULARY}
    (folder / "config.json").write_text(json.dumps(settings))
    attention = TOYS[toy].attention[0]
    return ModelConfig(
        toy, config.model_type, weights="random", path=str(folder), tokenizer=str(TOKENIZER), attention=attention
    )


def _family(toy: str) -> str:
    kind = _model(toy).family
    return next((one.name for one in families.FAMILIES if kind in one.model_types), kind)


@cache
def _settled(answer: str, fields: tuple[tuple[str, Any], ...]) -> TaskConfig:
    if answer == "number":
        return _numbers()
    return tasks.resolve(TaskConfig(ANSWERS[answer], **{**DATA, **dict(fields)}))


def _task(answer: str, **fields: Any) -> TaskConfig:
    return _settled(answer, tuple(sorted(fields.items())))


def _numbers() -> TaskConfig:
    """Rows of the microworld's words with a number, in files that stay until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    texts = [row.fields for row in tasks.load(TaskConfig(ANSWERS["label"], **DATA)).splits.train]
    lines = [json.dumps({**fields, "score": str(place % 5 + 0.5)}) for place, fields in enumerate(texts)]
    for split, number in (("train", 8), ("validation", 4), ("test", 4)):
        (folder / f"{split}.jsonl").write_text("\n".join(lines[:number]) + "\n")
    template = "".join(f"{{{name}}} " for name in texts[0])
    named = {"template": template, "answer": "text", "metric": "pearson", "columns": ("target=score",)}
    return tasks.resolve(TaskConfig(NUMBERS, data_dir=str(folder), max_input_tokens=40, **named))


def _parents(cell: Cell) -> dict[str, Parent]:
    """Two parents with drawn tensors, or one where a method takes one alone; none where it builds on no other cell."""
    entry = methods.find(cell.method.name)
    kind = entry.parents.replace("*", "full")
    if not kind:
        return {}
    found = {}
    for number in range(1 if entry.single_parent else 2):
        head = objectives.head(cell.objective, tasks.row(cell.task).classes)
        model = backbone.load(cell.model, head, number)
        config = MethodConfig(kind, methods.resolve(kind, {}))
        torch.manual_seed(number)
        methods.make(config).attach(model)
        drawn = {name: held + 0.05 * torch.randn(held.shape) for name, held in delta_state(model).items()}
        found["ab"[number]] = Parent(config, drawn)
    return found


if __name__ == "__main__":
    changed = write()
    sys.stdout.write(f"{len(changed)} rows changed\n" + "".join(f"  {name}\n" for name in changed))
