"""What a person may get wrong about a method, at the command line: one clear sentence, exit code 2, nothing written."""

from pathlib import Path

import pytest

from harness.cli import dispatch

RUN = ("run", "model=micro-t5-nano", "task=micro/sentiment", "seed=0", "device=cpu")
CASES = {
    "rank 0": (["method=lora", "method.rank=0"], "method.rank=0: the rank must be at least 1"),
    "rank above the matrix": (
        ["method=lora", "method.rank=65"],
        "method.rank=65: the rank must be at most 64, the smaller side of",
    ),
    "rank above the matrix, magnitudes too": (
        ["method=dora", "method.rank=1000"],
        "method.rank=1000: the rank must be at most 64",
    ),
    "a bottleneck that PHM cannot divide": (
        ["method=compacter", "method.bottleneck=6", "method.division=4"],
        "method.bottleneck=6: division=4 must divide it",
    ),
    "a width that PHM cannot divide": (["method=phm", "method.bottleneck=9", "method.division=3"], "method.division=3"),
    "two owners of one weight": (["method=combine", "method.parts=[full,lora rank=2]"], "full and lora both own"),
    "two rewriters of one weight": (
        ["method=combine", "method.parts=[lora rank=2,dora rank=2]"],
        "lora and dora both own",
    ),
    "a part with stages": (
        ["method=combine", "method.parts=[diff_pruning,bitfit]"],
        "diff_pruning has stages of its own, so it cannot be a part",
    ),
    "a target that is nowhere": (["method=lora", "method.targets=[query]"], "'query' matches no linear layer"),
    "more layers than there are": (["method=last_layer", "method.layers=99"], "method.layers=99"),
    "a budget and a size": (
        ["method=lora", "method.rank=2", "method.budget=1%"],
        "give method.budget or method.rank, not both",
    ),
    "a budget below the least": (["method=lora", "method.budget=0.0001%"], "lora needs at least"),
    "a budget above the most": (["method=lora", "method.budget=100%"], "method.budget=1 gives rank"),
    "a soup of nothing": (["method=soup"], "method soup builds on finished cells: name them"),
    "a soup of a method unsaid": (["method=soup", "parents.a={seed: 1}"], "name its method"),
    "a method twice in a sequence": (
        ["method=sequence", "method.parts=[adapter,bitfit,adapter]"],
        "method.parts names adapter twice with the same fields; a part can come only once, so leave one out.",
    ),
    "a method twice at one place": (
        ["method=sequence", "method.parts=[adapter,adapter bottleneck=8]"],
        "method.parts names adapter twice: a second 'adapter' delta",
    ),
    "a delta of nothing": (["method=reuse"], "method reuse builds on finished cells: name them"),
    "a delta whose head has other labels": (
        ["method=reuse", "objective=classifier", "parents.source={method: lora, task: micro/inference}"],
        "micro/inference has 3 label words and micro/sentiment has 2, so the head of one does not fit the other",
    ),
    "a template that lacks the row's field": (
        ["method=lora", "task.template=review {reviews}"],
        "rows lack the template's {reviews}. Did you mean review?",
    ),
    "a template without a field": (
        ["method=lora", "task.template=say it"],
        "it has no field, so every row of micro/sentiment would read the same; name one of {review}",
    ),
    "a bare prompt with a template": (
        ["method=lora", "task.prompt=bare", "task.template=review {review}"],
        "task.prompt=bare and task.template say two things",
    ),
    "shots below none": (["method=none", "task.shots=-1"], "task.shots=-1: it must be at least 0"),
    "more shots than rows": (
        ["method=none", "task.train_size=64", "task.shots=64"],
        "task.shots=64: train of micro/sentiment has 64 rows",
    ),
    "an optimiser that is not": (
        ["method=lora", "recipe.optimizer=lemo"],
        "recipe.optimizer=lemo: it must be one of adamw, adafactor, sgd, lomo, galore",
    ),
}


@pytest.mark.parametrize(("given", "said"), CASES.values(), ids=CASES)
def test_one_sentence_and_exit_code_2(
    given: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert dispatch.main([*RUN, *given, f"store={store}"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("deltabench: ")
    assert told.count("\n") == 1
    assert not store.exists()
