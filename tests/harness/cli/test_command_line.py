"""Words of a command line: choices, settings, and sentences for everything else."""

import random
import re
import string

import pytest

from harness.cli import command_line
from harness.config.schema import Runtime
from harness.config.yaml_values import Written
from harness.errors import UsageError
from harness.experiments.grids import declared_types, grid


def test_choices_and_settings() -> None:
    said = command_line.parse(
        ["method=full,lora", "method.rank=1,2", "method.targets=[q,v],[o]", "seed=0,1", "store=x", "jobs=3"]
    )
    assert said.block == {
        "method": ["full", "lora"],
        "method.rank": [1, 2],
        "method.targets": [["q", "v"], ["o"]],
        "seed": [0, 1],
    }
    assert said.settings == {"jobs": "3"}
    assert said.configure({"threads": 2, "keep": "none"}) == Runtime(store="x", threads=2, keep="none")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3e-3,x0.3", [0.003, "x0.3"]),
        ("010,1:30,yes", [10, "1:30", "yes"]),
        ("null", [None]),
        ("true,False", [True, False]),
        ("{lora: 1, default: 2}", [{"lora": 1, "default": 2}]),
        ("0.5", [0.5]),
        ("a b", ["a b"]),
        ("2024-01-01", ["2024-01-01"]),
    ],
)
def test_values_are_yaml(text: str, values: list[object]) -> None:
    assert command_line.choices("recipe.learning_rate", text) == values


@pytest.mark.parametrize("key", ["recipe.learning_rate", "recipe.dropout", "method.dropout", "task.max_unknown_share"])
@pytest.mark.parametrize("written", ["1e400", "-1e400", "1e-400"])
def test_a_number_that_no_float_holds_is_refused_as_it_was_written(key: str, written: str) -> None:
    """Python reads them as inf and 0."""
    block = {"method": "lora", "model": "micro-t5-nano", "task": "micro/sentiment"}
    with pytest.raises(UsageError, match=f"{key}={written}: it must be a number"):
        grid.expand([{**block, key: command_line.choices(key, written)}])


def test_names_stay_text() -> None:
    assert command_line.choices("method", "none,1") == ["none", "1"]
    assert command_line.choices("task", "2024,null,'a,b'") == ["2024", "null", "a,b"]


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("task.data_dir", "my data #1", ["my data #1"]),
        ("task.data_dir", '"a,b",c', ["a,b", "c"]),
        ("task.data_dir", "010,yes,1e3,~/x", ["010", "yes", "1e3", "~/x"]),
        ("task.data_dir", 'null,"null"', [None, "null"]),
        ("task.data_dir", "it's, 'quoted'", ["it's", "quoted"]),
        ("task.label_words", "[no, yes],[on, 010]", [["no", "yes"], ["on", "010"]]),
        ("task.label_words", '["a, b",c]', [["a, b", "c"]]),
        ("task.template", '"{a}, {b}", [', ['"{a}, {b}", [']),
        ("method.text", "null,x # y", [None, "x # y"]),
        ("seed", "000,008,010", [0, 8, 10]),
    ],
)
def test_the_declared_type_decides(key: str, text: str, values: list[object]) -> None:
    """A text is what was written; a number is decimal."""
    assert command_line.choices(key, text) == values


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lora", "not key=value"),
        ("methd=lora", "method"),
        ("=3", "not key=value"),
        ("method=", "missing"),
        ("store=", "missing"),
        ("jobs= ", "missing"),
        ("method=a,,b", "missing"),
        ("sed.x=3", "seed"),
        ("method.rank=[1", "not a value"),
        ("+store=x", "no setting"),
        ("method.rank=" + "9" * 20000, "longer"),
    ],
)
def test_what_is_not_understood_is_named(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        command_line.parse([word])


def test_twice_is_once_too_often() -> None:
    with pytest.raises(UsageError, match="twice"):
        command_line.parse(["seed=0", "seed=1"])


def test_added_words_are_kept_apart() -> None:
    said = command_line.parse(["+method=mine", "task=a"])
    assert said.added == {"method": ["mine"]}
    with pytest.raises(UsageError, match=r"only `deltabench reproduce` .* write method=mine here"):
        command_line.refuse_added(said)
    both = command_line.parse(["method=lora", "+method=mine"])
    assert (both.block, both.added) == ({"method": ["lora"]}, {"method": ["mine"]})
    with pytest.raises(UsageError, match="write method=lora,mine here"):
        command_line.refuse_added(both)
    with pytest.raises(UsageError, match=r"\+method is given twice.*\+method=A,B"):
        command_line.parse(["+method=mine", "+method=other"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400), ("1h30m", 5400), ("1d12h", 129600)],
)
def test_durations(text: str, seconds: float) -> None:
    assert command_line.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-3m", "0", "0.0h", "3 weeks", "1e3s", "9" * 30, "30m1h", "1h30"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        command_line.seconds(text)


def test_malformed_words_give_a_sentence() -> None:
    """Whatever is typed is parsed or refused in words."""
    draw = random.Random(0)
    keys = [
        "method",
        "seed",
        "method.rank",
        "recipe.learning_rate",
        "task",
        "store",
        "jobs",
        "+x",
        "",
        "a.b.c",
        "rerun",
    ]
    refused = 0
    for _ in range(200):
        text = "".join(draw.choice(string.printable + "é=[]{},:!&*|>'\"\x00") for _ in range(draw.randrange(12)))
        word = draw.choice([f"{draw.choice(keys)}={text}", text])
        try:
            command_line.parse([word])
        except UsageError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "text", ["1e1", "null", "range(0,3)", "0..2", "[0,1]", "-1", "1.5", "true", "٣", "0,x", "2147483648"]
)
def test_a_seed_is_said_in_digits(text: str) -> None:
    """One sentence names what was written, what a seed is and how several are written."""
    with pytest.raises(UsageError) as refused:
        command_line.parse([f"seed={text}"])
    assert str(refused.value).startswith(f"seed={text}: a seed is a whole number from 0 to 2147483647")
    assert str(refused.value).endswith("as in seed=0,1,2.")
    assert command_line.parse(["seed=0,010, 2147483647"]).block == {"seed": [0, 10, 2**31 - 1]}


@pytest.mark.parametrize("value", [None, True, 1.5, [0, 1], declared_types.typed("seed", Written("1e1"))])
def test_a_seed_of_a_yaml_is_refused_likewise(value: object) -> None:
    with pytest.raises(UsageError, match=rf"^seed={re.escape(declared_types.text(value))}: a seed is"):
        declared_types.seed(value)
