"""Whatever is typed: exit code 0 or 2, one sentence, nothing written. Seeded; a thousand draws under `slow`."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.execution import sweep

FEW, MANY = 50, 1000
VERBS = ("plan", "sweep", "run", "status", "reproduce", "show", "why", "list", "check", "store", "table")
KEYS = (
    *("method", "model", "task", "recipe", "objective", "seed", "method.rank", "method.targets", "method.alpha"),
    *("recipe.steps", "recipe.learning_rate", "recipe.batch_size", "recipe.dropout", "task.train_size"),
    *("task.data_dir", "model.path", "model.weights", "model.revision", "parents.a", "store", "jobs", "timeout"),
    *("threads", "keep", "device", "launcher", "rerun", "scale", "method.", ".rank", "a.b.c", "_target_", "hydra"),
    *("hydra.launcher", "method._target_", "recipe._target_", "+method", "++seed", "~task", "method/rank", "store.x"),
)
VALUES = (
    *("lora", "full", "micro-t5-nano", "micro/sentiment", "micro/*", "0", "1,2", "-1", "x3", "null", "true", "[q,v]"),
    *("", " ", ",", ",,", "[", "]", "{", "}", "{}", "[]", "[[]]", "{a: {b: [1, {c: d}]}}", "a,[b", "'", '"', "\\", "#"),
    *("1e400", "-1e400", ".inf", ".nan", "nan", "inf", "9" * 30, "9" * 5000, "1" + "0" * 400, "0x10", "1_0", "1:30"),
    *("../../etc/passwd", "/etc/passwd", "~/x", "a/../../b", "..", ".", "/", "//", "C:\\x", "%s%n", "$(id)", "`id`"),
    *("${oc.env:HOME}", "${hydra:runtime.cwd}", "${method.rank}", "???", "!!python/object:os.system", "!!binary aGk="),
    *("!!python/object/apply:os.system [id]", "&a [*a]", "*a", "&a [1, &b [*a, *a]]", "<<: {a: 1}", "? a", "- a", "|"),
    *("glob(*)", "choice(1,2)", "range(1,3)", "sort(a)", "a=b", "a==b", "=", "\x00", "a\x00b", "\n", "a\nb", "\x1b[2J"),
    *("\ud800", "é", "漢字", "\u202e", "😀" * 50, "a" * 300, "a" * 20000, "[" * 900, "{a: " * 300, "a," * 3000),
    *(
        "2024-01-01",
        "yes",
        "off",
        "1.5",
        "1e-3",
        "{lora: 1e-3, default: 2}",
        "{lora: x}",
        "{1: 2}",
        "[null]",
        "[1, [2]]",
    ),
)


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str]], bool]:
    """Runs a command line in an empty folder, where nothing is trained; whether it was refused."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "reports"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(sweep, "run_cells", lambda *_, **__: 0)
    monkeypatch.setattr("harness.cli.commands.reproduce.present", lambda *_: None)

    def refused(words: list[str]) -> bool:
        capsys.readouterr()
        code = dispatch.main(words)
        _, err = capsys.readouterr()
        assert code in (0, 2), (words, err)
        assert "Traceback" not in err, words
        assert "should not happen" not in err, (words, err)
        if code == 2:
            assert err.startswith("deltabench: "), words
            assert err.count("\n") == 1 or " cells cannot run" in err.split("\n")[0], (words, err)
            assert len(err) < 2000, words
        assert list(tmp_path.rglob("*")) == [here], words
        return code == 2

    return refused


def malformed(draw: random.Random) -> Iterator[list[str]]:
    """Command lines for ever: known words with unknown ones, values of other keys, torn, joined and repeated."""
    while True:
        words = [_word(draw) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        verb = draw.choice(VERBS)
        names = {"reproduce": "delta-ranking", "check": "delta-ranking", "list": "methods", "store": "export"}
        first = [draw.choice((names[verb], draw.choice(VALUES)))] if verb in names else []
        if verb in ("show", "why"):
            first = [draw.choice(("abcd", draw.choice(VALUES)))]
        yield [verb, *first, *words, *(["--dry-run"] if verb == "reproduce" else [])]


def _word(draw: random.Random) -> str:
    word = f"{draw.choice(KEYS)}={draw.choice(VALUES)}"
    kind = draw.randrange(8)
    place = draw.randrange(len(word))
    if kind == 0:
        return word[:place]
    if kind == 1:
        return word[:place] + draw.choice("\x00=,[]{}'\"\\:&*!|>%@`\n\t é\ud800-+~") + word[place:]
    if kind == 2:
        return f"{word},{draw.choice(VALUES)}"
    if kind == 3:
        return draw.choice(VALUES)
    if kind == 4:
        return "".join(draw.sample(word[:200], min(len(word), 200)))
    return word


def _draws(seed: int, count: int) -> list[list[str]]:
    found = malformed(random.Random(seed))
    return [next(found) for _ in range(count)]


def test_some_malformed_command_lines(refused: Callable[[list[str]], bool]) -> None:
    assert sum(map(refused, _draws(0, FEW))) > FEW / 2


@pytest.mark.parametrize(
    "words",
    [
        ["check", "delta-ranking", "method.rank=? a"],  # the cells that cannot run are no second sentence
        ["reproduce", "delta-ranking", "method.alpha=- a", "--dry-run"],
    ],
)
def test_lists_and_maps_where_a_number_belongs(words: list[str], refused: Callable[[list[str]], bool]) -> None:
    assert refused(words)


@pytest.mark.slow
def test_a_thousand_malformed_command_lines(refused: Callable[[list[str]], bool]) -> None:
    assert sum(map(refused, _draws(1, MANY))) > MANY / 2
