"""`deltabench forecast`: figures, and one sentence for what cannot be."""

import json

import pytest

from harness.cli import dispatch
from harness.config.step_load import Load, gib, size
from harness.errors import UsageError

pytestmark = pytest.mark.usefixtures("here")
SHORT = ("--input-tokens", "12", "--target-tokens", "4")


def _call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = dispatch.main(["forecast", *words])
    return code, *capsys.readouterr()


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "method=full,lora", "recipe.batch_size=1,8", "--device-memory", "2GiB", *SHORT)
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:5]] == [
        [method, "micro-t5-nano", batch] for method in ("full", "lora") for batch in ("1", "8")
    ]
    assert "12 input and 4 target tokens" in out
    assert "cuBLAS" in out
    assert "yes" in out


def test_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "method=lora", "--json", *SHORT)
    (row,) = json.loads(out)
    assert code == 0
    assert row["cell"]["method"]["name"] == "lora"
    assert row["peak_bytes"] == sum(row["split"].values())
    assert row["input_tokens"] == 12


def test_no_data_and_no_weights_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "model=bert-base", "task=glue/sst2", "method=bitfit", *SHORT)
    assert code == 0, out
    assert "bert-base" in out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["model=t5-4b"], "t5-3b"),
        (["model=t5-base", "model.architecture={d_modle: 3}"], "d_model"),
        (["recipe.batch_size=-1"], "at least 1"),
        (["recipe.batch_size=0"], "at least 1"),
        (["--input-tokens", "-5"], "--input-tokens -5"),
        (["--input-tokens", "many"], "whole number"),
        (["--accumulation", "0"], "--accumulation 0"),
        (["--kernel", "fast"], "memory_efficient"),
        (["--kernel", "plain", "recipe.precision=bf16"], "bf16"),
        (["--device-memory", "much"], "24GiB"),
        (["--device-memory", "0GiB"], "24GiB"),
        (["--device-memory", "24"], "that is 24 bytes; give a size of at least 1MiB"),
        (["--device-memory", "-1GiB"], "--device-memory -1GiB: give a size"),
        (["--device-memory", "-x"], "--device-memory -x: give a size"),
        (["method.rank=99999"], "rank"),
        (["model=bert-base", "method=lora", "task=glue/sst2", "--input-tokens", "9999"], "512"),
        (["model=bert-base", "task=glue/sst2", "task.max_input_tokens=9999"], "task.max_input_tokens=512"),
        (["store=x"], "store"),
        (["task.shape=3"], "shape"),
    ],
)
def test_what_cannot_be_is_a_sentence(capsys: pytest.CaptureFixture[str], words: list[str], wanted: str) -> None:
    code, out, err = _call(capsys, *words)
    assert (code, out) == (2, "")
    assert wanted in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("24GiB", 24 * 2**30),
        ("24g", 24 * 2**30),
        ("80GB", 80 * 10**9),
        ("512MiB", 2**29),
        ("1.5 GiB", 3 * 2**29),
        ("25769803776", 24 * 2**30),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert size("--device-memory", text) == count


def test_a_load_says_its_rule() -> None:
    with pytest.raises(UsageError, match="1 to"):
        Load(input_tokens=0)
    assert gib(None) == "unknown"
    assert (gib(2**30), gib(2**20)) == ("1.00 GiB", "1 MiB")
