"""Made records for claims that compare models, combinations, orders, tasks, sizes, batches or examples in prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from harness.analysis.scaling import joint
from harness.analysis.study import study
from harness.analysis.study.study import Study
from harness.experiments import exhibits
from harness.store.archive import Run
from tests.harness import made_runs

Rates = tuple[float, ...]
SEEDS = range(5)
"""The first chooses the rates, and no number includes it."""
ENOUGH = range(9)
"""Seeds that decide a share of pairs of which every one is won, and the first."""
KINDS = {"micro/sentiment": "sentiment", "micro/sentiment-goods": "sentiment", "micro/qa": "questions"}


def made(
    method: str, task: str, seed: int, rate: float, worth: float, cell: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Run:  # fmt: skip
    """One record of this quality. cell: what differs in each part of its cell; its key follows."""
    run = made_runs.run(method, task, seed, learning_rate=rate, noise=0.004, quality={method: worth}, **options)
    parts = {name: {**run.record["cell"][name], **change} for name, change in (cell or {}).items()}
    if "task" in parts:
        parts["task"]["digest"] = str(parts["task"])
    key = run.record["key"] + "".join(f" {change}" for change in (cell or {}).values())
    facts = {**run.record["task_facts"], "category": KINDS.get(task, "c")}
    curve = tuple({**point, "validation_loss": 2.2 - 2 * point["scores"]["validation"]} for point in run.curve)
    record = {**run.record, "key": key, "cell": {**run.record["cell"], **parts}, "task_facts": facts}
    return Run(record, curve)


def studied(name: str, runs: Sequence[Run]) -> list[Study]:
    return study.studies(replace(exhibits.load(name), declared_tuning=frozenset({SEEDS[0]})), runs)


def parameters(run: Run, **counts: int) -> Run:
    return replace(run, record={**run.record, "parameters": {**run.record["parameters"], **counts}})


@cache
def models(rates: Rates) -> list[Study]:
    """A larger model on which lora is better, faster and closer to full, and few numbers of a subspace suffice."""
    worths = {"micro-t5-nano": (0.4, 0.3, 0.99), "micro-t5-micro": (0.97, 0.99, 1.0)}
    runs = []
    for place, (model, (lora, few, many)) in enumerate(worths.items()):
        arms = [("full", {}, 1.0), ("lora", {}, lora)]
        arms += [("intrinsic", {"dimension": size}, worth) for size, worth in ((10, few), (1000, many))]
        runs += [
            parameters(
                made(method, task, seed, rate, worth, fields=fields, model=model), backbone=10**6 * (place + 1)
            )
            for method, fields, worth in arms for task in made_runs.TASKS for rate in rates for seed in ENOUGH
        ]  # fmt: skip
    return [joint.of(studied("delta-scale", runs))]


@cache
def combinations(rates: Rates) -> list[Study]:
    """lora, bitfit and both together, with all rows and with few; and both in turn, in two orders."""
    both = ["lora", "bitfit"]
    arms = [("full", {}, 1.0), ("lora", {}, 0.5), ("bitfit", {}, 0.3), ("combine", {"parts": both}, 0.8)]
    sizes = ({"train_size": None}, {"train_size": 32})
    runs = [
        made(method, "micro/qa", seed, rate, worth, {"task": size}, fields=fields)
        for method, fields, worth in arms for size in sizes for rate in rates for seed in SEEDS
    ]  # fmt: skip
    turns = [("full", {}, 1.0), ("sequence", {"parts": both}, 0.8), ("sequence", {"parts": both[::-1]}, 0.4)]
    ordered = [
        made(method, "micro/qa", seed, rate, worth, fields=fields)
        for method, fields, worth in turns for rate in rates for seed in SEEDS
    ]  # fmt: skip
    return [*studied("delta-combination", runs), *studied("delta-sequence", ordered)]


@cache
def transfer(rates: Rates) -> list[Study]:
    """Deltas of lora, which serve the other task of their category and no other one."""
    own = [made("lora", task, seed, rate, 0.9) for task in KINDS for rate in rates for seed in SEEDS]
    moved = [
        made(
            "reuse", task, source.record["cell"]["seed"], source.record["cell"]["recipe"]["learning_rate"],
            0.8 if KINDS[task] == kind_of(source) else 0.05, {"recipe": {"steps": 0}},
            model="micro-t5-nano",
        )
        for source in own for task in KINDS
    ]  # fmt: skip
    origins = [source for source in own for _ in KINDS]
    runs = [*own, *(moved_from(run, source) for run, source in zip(moved, origins, strict=True))]
    return studied("delta-transfer", runs)


def kind_of(run: Run) -> str:
    return KINDS[run.record["cell"]["task"]["name"]]


def moved_from(run: Run, source: Run) -> Run:
    key = source.record["key"]
    cell = {**run.record["cell"], "parents": [["source", key]]}
    return parameters(replace(run, record={**run.record, "cell": cell, "key": f"{run.record['key']} {key}"}), delta=0)


@cache
def chains(rates: Rates) -> list[Study]:
    """Two tasks learnt in sequence, at the same rate, with more intruder dimensions after the second."""
    runs = []
    for rate in rates:
        for seed in SEEDS:
            parents: list[list[str]] = []
            for method, task, few in (("lora", "micro/qa", 1), ("continual", "micro/sentiment", 4)):
                run = made(method, task, seed, rate, 0.9, fields={"parts": ["lora"]} if parents else {})
                intruders = few + (seed % 2 if parents else 0)
                likeness = [0.1] * intruders + [0.9] * (10 - intruders)
                matrix = {"name": "a", "role": "q", "change": 0.3, "rank_share": 0.1, "likeness": likeness}
                probes = {"spectrum": {"status": "done", "matrices": [matrix], "why_null": {}}}
                cell = {**run.record["cell"], "parents": parents}
                runs.append(replace(run, record={**run.record, "cell": cell, "probes": probes}))
                parents = [["before", run.record["key"]]]
    return studied("intruders-accumulate", runs)


def for_all(run: Run, tests: Sequence[str]) -> Run:
    """Return the record of a model for several tasks: its score on the test set is that on the set of each of them."""

    def named(scores: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in scores.items() if name != "test"}
        return own | dict.fromkeys(tests, scores["test"])

    facts = {**run.record["task_facts"], "tests": list(tests)}
    scores = {name: {**point, "sets": named(point["sets"])} for name, point in run.record["scores"].items()}
    curve = tuple({**point, "scores": named(point["scores"])} for point in run.curve)
    return Run({**run.record, "task_facts": facts, "scores": scores}, curve)


@cache
def together(rates: Rates) -> list[Study]:
    """lora for each of two tasks is better than full for each, which is better than full for both together."""
    tasks = ("micro/sentiment-goods", "micro/qa")
    runs = [
        made(method, task, seed, rate, worth)
        for method, worth in (("full", 0.6), ("lora", 0.9)) for task in tasks for rate in rates for seed in SEEDS
    ]  # fmt: skip
    runs += [for_all(made("full", "joint/micro", seed, rate, 0.3), tasks) for rate in rates for seed in SEEDS]
    return studied("delta-multitask", runs)


@cache
def sizes(rates: Rates) -> list[Study]:
    """Two methods at three numbers of parameters each; the method decides the score."""
    runs = [
        parameters(made(method, "micro/qa", seed, rate, worth + 0.01 * rank, fields={"rank": rank}), delta=100 * rank)
        for method, worth in (("lora", 0.8), ("adapter", 0.3)) for rank in (1, 2, 4)
        for rate in rates for seed in SEEDS
    ]  # fmt: skip
    return studied("delta-efficiency", runs)


@cache
def prompts(rates: Rates) -> list[Study]:
    """lora trained on four rows, and the bare backbone with four rows before each text, which is better."""
    arms = (("lora", {"train_size": 4}, 0.2, rates), ("none", {"shots": 4}, 0.8, rates[:1]))
    runs = [
        made(method, "micro/qa", seed, rate, worth, {"task": task})
        for method, task, worth, tried in arms for rate in tried for seed in SEEDS
    ]  # fmt: skip
    return studied("icl", runs)


@cache
def batches(rates: Rates) -> list[Study]:
    """lora and full at two sizes of a batch: the large one costs lora alone."""
    runs = [
        made(method, "micro/qa", seed, rate, worth, {"recipe": {"batch_size": size}})
        for method, size, worth in (("full", 16, 1.0), ("full", 128, 1.0), ("lora", 16, 0.9), ("lora", 128, 0.4))
        for rate in rates for seed in SEEDS
    ]  # fmt: skip
    return studied("regret-batch", runs)


@cache
def losses(rates: Rates) -> list[Study]:
    """lora ends with a higher loss than full."""
    runs = [
        made(method, "micro/qa", seed, rate, worth)
        for method, worth in (("full", 1.0), ("lora", 0.5)) for rate in rates for seed in SEEDS
    ]  # fmt: skip
    return studied("regret-layers", runs)


RECORDS: Mapping[str, Callable[[Rates], list[Study]]] = {
    **dict.fromkeys(("scale-helps", "scale-speeds", "distance-shrinks", "dimension-shrinks"), models),
    **dict.fromkeys(("adding-helps", "adding-hurts-somewhere", "combination-beats-best-single"), combinations),
    **dict.fromkeys(("best-combination-differs", "no-order-is-best"), combinations),
    **dict.fromkeys(("transfers-within-category", "transfers-to-category"), transfer),
    **dict.fromkeys(("higher-loss", "similar-loss"), losses),
    **dict.fromkeys(("delta-per-task-as-separate", "delta-per-task-as-joint"), together),
    "structure-explains-more": sizes,
    "tuning-above-in-context": prompts,
    "intruders-accumulate": chains,
    "pays-more-for-large-batches": batches,
}
"""The records of claims that those of two methods on one model do not reach."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "intruders-accumulate": {"method": "lora"},
    "transfers-to-category": {"sources": ["questions"], "target": "sentiment"},
    "tuning-above-in-context": {"right": "none"},
    "reaches-share": {"share": 1.0},
}
"""Options with which these records reach a claim."""
