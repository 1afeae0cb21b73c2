"""Every command that the README, CONTRIBUTING and the help of a verb show is a command.

The examples are collected from the pages. What trains, or needs a network or a GPU, is planned here; the tests that are
marked slow really run what runs on a CPU without a network.
"""

import ast
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator

import pytest

from harness import assets
from harness.cli import dispatch
from harness.cli.commands import doctor
from harness.config import conf_files
from harness.config.schema import ModelConfig
from harness.errors import RowsAbsent
from harness.execution import sweep, sweep_plan
from harness.models import hub, weight_files
from harness.store import requested_grids
from harness.store.store import Store
from tasks.data import data_root, hub_rows
from tests.harness import made_runs

PARSED = ("delta", "push", "pull", "probe", "judge", "pretrain", "forecast", "report", "view")
"""Verbs that load weights, need a network, read all reference runs or serve until an interruption: their arguments are
parsed, and nothing runs."""
ELSEWHERE = re.compile(
    r"rows|Hub|network|not installed|no finished cell|has no cell of|bitsandbytes|driver|--skip-impossible"
)
"""Reasons why a command cannot be planned on this machine; it is a command nevertheless."""
LONG = re.compile(r"scale=embedded|'delta-\*'|^deltabench check")
"""Examples whose grids take many seconds to expand."""


def _shown() -> Iterator[str]:
    """Yield every line that shows a command, as it is written."""
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (assets.root() / page).read_text(encoding="utf-8")
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            whole = re.sub(r"\\\n\s*", "", block)  # a line that goes on
            yield from (re.split(r"\s+# ", line)[0] for line in whole.splitlines())
        inline = re.findall(r"(?<!`)`(deltabench \w+\s[^`]*)`(?!`)", text)
        yield from (" ".join(code.split()) for code in inline)
    for path in sorted(dispatch.VERBS.glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield from (re.split(r"\s{2,}", line)[0] for line in text.splitlines())
    yield from (line.strip() for line in dispatch._help().splitlines())


def _examples() -> list[str]:
    """Return the commands, each choice of alternatives and optional parts by itself."""
    verbs = "|".join(dispatch.verbs())
    found = [line for line in _shown() if re.match(rf"(\w+=\S+ )?deltabench ({verbs})\b", line)]
    return list(dict.fromkeys(variant for line in found for variant in _variants(line)))


def _variants(line: str) -> Iterator[str]:
    """Yield the command without its optional parts, with them, and with each of the alternatives `a|b`."""
    quoted: list[str] = []

    def hide(match: re.Match[str]) -> str:
        quoted.append(match[0])
        return f"\0{len(quoted) - 1}\0"

    bare = re.sub(r"'[^']*'|\"[^\"]*\"|=\[[^\]]*\]", hide, line.replace("…", ""))
    for text in (re.sub(r" ?\[[^\]]*\]", "", bare), re.sub(r"[\[\]]", "", bare)):
        head, *others = text.split(" | ")
        start = head.rsplit(" ", 1)[0] if others else ""
        first = re.match(r"(.*deltabench \w+) ", head)
        heads = [head, *(f"{first[1]} {other}" for other in others)] if first and start else [head]
        for one in heads:
            choices = [word.split("|") for word in one.split()]
            for number in range(max(map(len, choices))):
                words = (word[number % len(word)] for word in choices)
                yield re.sub("\0(\\d+)\0", lambda match: quoted[int(match[1])], " ".join(words))


EXAMPLES = [pytest.param(one, marks=[pytest.mark.slow] if LONG.search(one) else [], id=one) for one in _examples()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store with two finished cells and a grid, another store, and what placeholders stand for."""
    folder = tmp_path_factory.mktemp("examples")
    store, other = Store(folder / "results" / "store"), Store(folder / "other")
    places = [(task, seed) for task in ("micro/inference", "micro/qa") for seed in (0, 1)]
    keys = [made_runs.finish(store, task, seed) for task, seed in places]
    made_runs.finish(other, "micro/qa", 2)
    requested_grids.note(store, requested_grids.Grid("mine", ()))
    own = shutil.copytree(weight_files.folder(ModelConfig("micro-t5-nano", "t5")), folder / "FOLDER")
    for split in ("train", "validation", "test"):
        rows = ({"sentence": f"{split} {number}", "label": number % 2} for number in range(8))
        (own / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "at": str(folder), "KEY": keys[0], "OTHER": keys[1], "DIR": str(store.path), "THEIRS": str(other.path),
        "FOLDER": str(own), "MINE": str(folder / "mine"), "NAME": "micro-t5-nano", "N": "1", "GRID": "mine",
        "EXHIBIT": "delta-ranking", "METHOD": "lora", "WORD": "a", "COMMIT": "0" * 40, "FILE": str(folder / "file"),
    }  # fmt: skip


def _filled(command: str, made: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the words after the program, and the variables before it, with every placeholder filled."""
    if " store " in f"{command} ":
        command = re.sub(r"\b(OTHER)\b|(?<=merge )DIR", made["THEIRS"], command)
    command = re.sub(r"\bcheck NAME\b", f"check {made['EXHIBIT']}", command)
    command = re.sub(r"store=A --against B\b", f"store={made['DIR']} --against {made['THEIRS']}", command)
    command = command.replace("{title} : {text}", "{sentence}")  # the rows of the folder here
    command = re.sub(r"\b(owner/name|OWNER/NAME)\b", "someone/something", command)
    command = re.sub(r"\b(gain|mine)\b(?!/)", "bitfit", command)
    command = re.sub(r"(?<![\w/.-])FILE\.parquet\b", f"{made['FILE']}.parquet", command)
    names = "|".join(name for name in made if name.isupper())
    command = re.sub(rf"(?<![\w/.-])({names})(?![\w/.-])", lambda match: made[match[1]], command)
    before, _, after = command.partition("deltabench ")
    return shlex.split(after), dict(word.split("=", 1) for word in before.split())


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What trains is planned: the number of cells of each sweep. Nothing else needs a child process."""
    counts: list[int] = []
    monkeypatch.setattr(sweep, "run_cells", lambda many, *_, **__: counts.append(len(many)) or 0)
    monkeypatch.setattr(sweep_plan, "_preflight", lambda *_: {})
    monkeypatch.setattr(doctor, "_isolation", lambda: ("isolation", "ok", "children start"))
    monkeypatch.setattr(conf_files, "_added", [])
    monkeypatch.setattr(hub_rows, "rows", _no_network)
    monkeypatch.setattr(hub, "commit", lambda *_: "0" * 40)
    monkeypatch.delenv(data_root.VARIABLE, raising=False)
    return counts


def _no_network(*_: object, **__: object) -> None:
    raise RowsAbsent("the rows are not here, and there is no network")


def test_examples_are_found_on_every_page() -> None:
    verbs = {re.search(r"deltabench (\w+)", example)[1] for example in _examples()}  # type: ignore[index]
    assert verbs == set(dispatch.verbs())
    assert len(EXAMPLES) > 60


def _call(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = dispatch.main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command(
    example: str, made: dict[str, str], planned: list[int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words, variables = _filled(example.replace("micro/*", "micro/q*"), made)  # two tasks instead of all
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(made["at"])
    words = [str(assets.root() / word) if word.startswith("results/reference/") else word for word in words]
    verb = words[0]
    if verb in PARSED:
        monkeypatch.setattr(importlib.import_module(f"harness.cli.commands.{verb}"), "main", lambda _: 0)
    if words[:2] in (["store", "rm"], ["store", "merge"]):
        words.append("--dry-run")
    if "--all" in words and "--dry-run" not in words:  # the forecasts of four exhibits take a minute
        words.append("--dry-run")
    if "--device-memory" in words and verb not in PARSED:  # its forecasts take seconds in a child process
        del words[words.index("--device-memory") : words.index("--device-memory") + 2]
    words = [word for word in words if word not in ("--watch", "--open")]  # until an interruption; a browser
    code, out, error = _call(words, capsys)
    judged = verb == "check" and code == 1 and not error  # the store's few cells do not agree with the reference
    assert code == 0 or judged or (code == 2 and ELSEWHERE.search(error)), (words, error)
    assert verb not in ("run", "sweep") or "--dry-run" in words or code == 2 or planned[0] > 0
    if code == 0 and "--json" in words and verb not in PARSED:
        json.loads(out)


HERE = r"deltabench (run|sweep) (?!.*(t5-base|llama|roberta|launcher|minilm|tracker|any))"
"""Examples that run on a CPU without a network."""
REALLY = ["model=micro-t5-nano", "recipe.steps=2", "task.train_size=16", "task.validation_size=8", "task.test_size=8"]
"""Words that make a cell of an example short."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [
        one
        for one in _examples()
        if re.match(r"deltabench (run|sweep) (?!.*(t5-base|llama|roberta|launcher|minilm))", one)
    ],
)
def test_an_example_really_runs(
    example: str, made: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each cell for two steps; what an installed package lacks is refused with its name."""
    monkeypatch.setattr(conf_files, "_added", [])
    words, _ = _filled(example.replace("micro/*", "micro/q*"), made)
    own = {word.partition("=")[0] for word in words}
    monkeypatch.chdir(made["at"])
    words += [word for word in REALLY if word.partition("=")[0] not in own]
    code, _, error = _call([*words, "device=cpu"], capsys)
    assert code == 0 or (code == 2 and ELSEWHERE.search(error)), (words, error)
