"""The commonsense sets as LLM-Adapters asks them: the mixture, the two spellings of the prompt, rows out of format."""

import json
from pathlib import Path

import pytest

from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import commonsense
from tasks import registry as tasks
from tasks.data import data_root
from tasks.metrics.label_metrics import METRICS

FORMATS = {"boolq": "true/false", "piqa": "solution1/solution2", "winogrande": "option1/option2"}


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data_root.VARIABLE, raising=False)


def row(name: str, i: int, **change: str) -> dict[str, str]:
    answer = FORMATS[name].split("/")[i % 2]
    asked = f"Please answer: {name} {i}?\n\nAnswer format: {FORMATS[name]}"
    return {"instruction": asked, "input": "", "output": f"the correct answer is {answer}", "answer": answer, **change}


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The shape of the repository, with three of its eight sets."""
    write(tmp_path / "ft-training_set" / "commonsense_170k.json", [row(name, i) for i in range(20) for name in FORMATS])
    for name in FORMATS:
        write(tmp_path / "dataset" / name / "test.json", [row(name, i) for i in range(6)])
    return tmp_path


def config(folder: Path, name: str = "commonsense_170k", **values: object) -> TaskConfig:
    return TaskConfig(name, data_dir=str(folder), validation_size=6, **values)  # type: ignore[arg-type]


def test_one_mixture_trains_and_every_set_that_is_there_is_reported(clone: Path) -> None:
    task = tasks.load(config(clone))
    assert {name: len(rows) for name, rows in task.splits.named().items()} == {
        "train": 54, "validation": 6, "boolq": 6, "piqa": 6, "winogrande": 6,
    }  # fmt: skip
    one = task.splits.tests["piqa"][1]
    assert (task.target(one), one.label) == ("the correct answer is solution2", 1)
    assert task.options(one) == ("the correct answer is solution1", "the correct answer is solution2")
    targets = [task.target(one) for one in task.splits.tests["boolq"]]
    assert METRICS[task.metric](targets, ["it is true"] * 6)["extracted_accuracy"] == 0.5


def test_options_can_be_scored_by_likelihood(clone: Path) -> None:
    task = tasks.load(config(clone, answer="choice"))
    assert (task.answer, task.metric) == ("choice", "accuracy")


def test_the_faithful_mixture_spells_the_prompt_twice_as_the_code_does(clone: Path) -> None:
    task = tasks.load(config(clone, "commonsense_170k_faithful"))
    trained, evaluated = task.text(task.splits.train[0]), task.text(task.splits.tests["boolq"][0])
    assert "the request.  \n\n                ### Instruction:\n                Please" in trained
    assert trained.endswith("\n                \n                ### Response:\n                ")
    assert "the request. \n\n                ### Instruction:\n                Please" in evaluated
    assert evaluated.endswith("true/false\n\n                ### Response:\n                ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "maybe"}, r"commonsense_170k row 1: .*'maybe' is outside its format true/false"),
        ({"output": "true"}, r"output 'true' does not hold the answer 'false'"),
        ({"instruction": "Is it?"}, "no 'Answer format:'"),
    ],
)
def test_a_row_outside_the_format_is_named(clone: Path, change: dict[str, str], message: str) -> None:
    write(clone / "ft-training_set" / "commonsense_170k.json", [row("boolq", 1, **change), row("boolq", 2)])
    with pytest.raises(UsageError, match=message):
        tasks.load(config(clone))


def test_an_empty_mixture_and_one_without_any_test_set_are_refused(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(clone / "ft-training_set" / "commonsense_170k.json", [])
    with pytest.raises(UsageError, match=r"commonsense_170k\.json: it has no rows"):
        tasks.load(config(clone))
    alone = tmp_path_factory.mktemp("alone")
    write(alone / "commonsense_170k.json", [row("boolq", i) for i in range(20)])
    with pytest.raises(UsageError, match="no file for the boolq/test split"):
        tasks.load(config(alone))
    with pytest.raises(UsageError, match=r"no copy on the Hub.*LLM-Adapters"):
        tasks.load(TaskConfig("commonsense/boolq"))


def test_the_answers_of_every_set_are_known_to_the_metric() -> None:
    for name, (_, options, _, _) in commonsense.SETS.items():
        kind = {"boolq": None, "piqa": "solution", "hellaswag": "ending", "winogrande": "option"}.get(name, "answer")
        answers = ["true", "false"] if kind is None else [f"{kind}{i + 1}" for i in range(options)]
        assert METRICS["extracted_accuracy"](answers, answers)["extracted_accuracy"] == 1.0
