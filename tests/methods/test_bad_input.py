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
    "a start by singular values above the width": (
        ["method=lora", "method.init=pissa", "method.rank=65"],
        "method.rank=65: the rank must be at most 64, the smaller side of",
    ),
    "a start that asks for twice its rank": (
        ["method=lora", "method.init=lora_ga", "method.rank=33"],
        "method.rank=33: init=lora_ga takes 2R of the 64 singular vectors of",
    ),
    "a start from weights that are rounded": (
        ["method=qlora", "method.init=pissa"],
        "method.init=pissa: such a start takes a part out of the weights before they are rounded",
    ),
    "a type that PEFT lacks": (["method=peft", "method.peft_type=SUPERLORA"], ", which is installed, has no such type"),
    "a block that does not divide": (["method=oft", "method.block_size=10"], "method.block_size=10: it must divide 64"),
    "more heads than there are": (["method=s2ft", "method.heads=99"], "method.heads=99: encoder.block.0"),
    "more blocks awake than there are": (
        ["method=full", "recipe.awake_layers=99"],
        "recipe.awake_layers=99: the method trains in",
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


@pytest.mark.parametrize("train", [None, "text,label\n"], ids=["no file", "no rows"])
@pytest.mark.parametrize("init", ["eva", "corda", "lora_ga"])
def test_a_start_from_train_rows_needs_some(
    init: str, train: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "rows", tmp_path / "store"
    folder.mkdir()
    (folder / "test.csv").write_text("text,label\n" + 4 * "a good film,good\na bad film,bad\n")
    if train is not None:
        (folder / "train.csv").write_text(train)
    given = ["run", "model=micro-t5-nano", "seed=0", "device=cpu", "method=lora", f"method.init={init}", "task=own"]
    given += [f"task.data_dir={folder}", "task.template={text}", "task.label_words=[bad,good]", f"store={store}"]
    assert dispatch.main(given) == 2
    told = capsys.readouterr().err
    assert "no file for the train split" in told or "it has no rows; a split needs at least one" in told
    assert told.count("\n") == 1
    assert not store.exists()
