"""Whatever a stranger's file or folder holds: a sentence, no code run, nothing outside it read or written.

Seeded; three hundred draws over all kinds under `slow`. Damage as in test_fuzz_records.py, and what is no file at all.
"""

import gzip
import io
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.config import compose, conf_files
from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.experiments import published_rows
from harness.models import weight_files
from harness.probes.judging import chat_client
from harness.probes.judging.answers import StoredAnswers
from harness.sharing import forms, model_card
from harness.store import archive
from harness.store.attempt_folder import AttemptFolder
from harness.store.identity import from_json
from tests.harness.store.test_fuzz_records import GOLDEN, JUNK, RAW, spoil

FEW, MANY = 3, 300
SECRET = "what-only-the-reader-has"
YAML = {
    "method": "name: lora\nrank: 4\ntargets: [q, v]\n",
    "model": "name: mine\nfamily: t5\nsource: embedded\nlocation: micro-t5-nano\nobjective: seq2seq\nrecipe: micro\n",
    "task": "name: mine\ndata_dir: DATA\ntemplate: '{text} :'\nlabel_words: [bad, good]\n",
    "recipe": "name: mine\nlearning_rate: {default: 1e-3}\nsteps: 4\n",
    "exhibit": "title: mine\nsource: mine\nclaims: []\ngrid:\n  quick:\n    - {model: micro-t5-nano, method: [lora]}\n",
    "launcher": "# @package _global_\ndefaults:\n  - override /hydra/launcher: joblib\nlauncher: {jobs: 3}\n",
}
PLAN = ("method=none", "model=micro-t5-nano", "task=micro/sentiment", "recipe.steps=0")
Try = Callable[[Path], None]


def _run(*words: str) -> None:
    code = dispatch.main(words)
    assert code in (0, 1, 2), words  # 1: the operating system says no, in a sentence


def _rows(folder: Path) -> None:
    for split, count in (("train", 40), ("validation", 8), ("test", 8)):
        rows = [{"text": f"a {'good' if n % 2 else 'bad'} shop {n}", "label": n % 2} for n in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _model(folder: Path) -> None:
    held = weight_files.WORLDS[1] / "weights" / "micro-t5-nano"
    for name in ("config.json", "model.safetensors"):
        shutil.copy(held / name, folder / name)
    shutil.copy(weight_files.WORLDS[1] / "tokenizer" / "tokenizer.json", folder / "tokenizer.json")


def _pushed(folder: Path, form: str) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    record = GOLDEN["record"]
    folder.mkdir(exist_ok=True)
    model_card.write(model_card.make(from_json(record["cell"]), record, "best", form, None), folder)
    configuration, tensors = forms.FILES[form]
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"], "base_model_name_or_path": "x"}
    if form == "deltabench":
        part = {"name": "mine", "family": "t5", "revision": "0" * 16, "weights": "pretrained"}
        method = {"name": "bitfit"}
        told = {"format": 1, "method": method, "model": part, "task": "mine", "objective": "seq2seq", "seed": 0}
    (folder / configuration).write_text(json.dumps(told))
    save_file({"encoder.q.lora_A.weight": zeros(2, 4), "encoder.q.lora_B.weight": zeros(4, 2)}, folder / tensors)


def _loads(folder: Path) -> None:
    from harness.models import backbone
    from harness.models.head import Head

    _run("plan", "method=none", "model=micro-t5-nano", f"model.path={folder}", "task=micro/sentiment")
    with suppress(UsageError):
        backbone.load(ModelConfig("mine", "t5", source="folder", location=str(folder)), Head("seq2seq_lm", 0), 0)


def _imports(folder: Path) -> None:
    target = folder.parent / "ours"
    _run("pull", str(folder), "--to", str(folder.parent / "pulled"))
    _run("delta", "import", str(folder), "--to", str(target), "model=micro-t5-nano")


def _describes(folder: Path) -> None:
    from harness.sharing import delta_folder
    from harness.training import finished_model

    _run("pull", str(folder), "--to", str(folder.parent / "pulled"))
    with suppress(UsageError):
        delta_folder.described(folder)
    with suppress(UsageError):
        finished_model.tensors(folder / forms.TENSORS)


def _answers(folder: Path) -> None:
    stored = StoredAnswers("0" * 64, from_json(GOLDEN["record"]["cell"]), AttemptFolder(folder), ("test",))
    with suppress(UsageError):
        _ = stored.answers


def _archive(folder: Path) -> None:
    with suppress(UsageError):
        archive.from_archive(folder / archive.ARCHIVE)


def _numbers(folder: Path) -> None:
    with suppress(UsageError):
        published_rows.read(folder / "numbers.csv")


def _judge(folder: Path) -> None:
    path = folder / "answer.json"
    with suppress(chat_client._Again), path.open("rb") if path.is_file() else io.BytesIO() as body:
        chat_client._text(body.read(chat_client.MOST_BYTES))  # as a connection is read


def _choices(group: str) -> Try:
    """The verb that reads this group's YAML, and one that reads only what stands beside it."""

    def run(folder: Path) -> None:
        place = ("--config-dir", str(folder))
        if group == "exhibit":
            _run("status", *place, "mine", "scale=quick")
        elif group == "launcher":
            _run("plan", *place, *PLAN, "launcher=mine")
        else:
            _run("plan", *place, f"{group}=mine", *(word for word in PLAN if not word.startswith(group)))

    return run


def _packed(folder: Path, name: str) -> None:
    row = {"checkpoint": "best", "set": "test", "id": "1", "prediction": "a", "target": "b", **GOLDEN}
    (folder / name).write_bytes(gzip.compress(json.dumps(row).encode() + b"\n"))


def made(kind: str, folder: Path) -> Path:
    """A good folder of a kind; the file that is to be spoiled."""
    group, _, name = kind.partition(":")
    folder.mkdir()
    if group == "yaml":
        (folder / "data").mkdir()
        _rows(folder / "data")
        for one, text in YAML.items():
            (folder / one).mkdir()
            (folder / one / "mine.yaml").write_text(text.replace("DATA", str(folder / "data")))
        return folder / name
    if group == "model":
        _model(folder)
    elif group in forms.FILES:
        _pushed(folder, group)
    elif group == "packed":
        _packed(folder, name)
    elif group == "csv":
        (folder / name).write_text("# a source\nmethod,score\nlora,80.5\n")
    else:
        (folder / name).write_text(json.dumps({"choices": [{"message": {"content": "Rating: [[7]]"}}]}))
    return folder / name


KINDS: dict[str, Try] = {
    **{f"yaml:{group}/mine.yaml": _choices(group) for group in YAML},
    "yaml:data/train.jsonl": _choices("task"),
    **{f"model:{name}": _loads for name in ("config.json", "model.safetensors", "tokenizer.json")},
    **{f"peft:{name}": _imports for name in (model_card.CARD, model_card.README, *forms.FILES["peft"])},
    **{f"deltabench:{name}": _describes for name in (model_card.CARD, *forms.FILES["deltabench"])},
    "packed:predictions.jsonl.gz": _answers,
    f"packed:{archive.ARCHIVE}": _archive,
    "csv:numbers.csv": _numbers,
    "judge:answer.json": _judge,
}


def _spoil(path: Path, draw: random.Random, outside: Path) -> str:
    """What is no file, what is no text, and what is damaged. What was done."""
    way = draw.choice(("pipe", "folder", "zero", "link", "wide", "deep", "sparse", "nul", "gone", *["damaged"] * 9))
    content = path.read_bytes()
    if way == "damaged":
        try:
            spoil(path, draw)
        except (ValueError, IndexError):  # it is no JSON
            junk = draw.choice([*RAW, *(one for one in JUNK if isinstance(one, str) and one.isprintable())])
            place = draw.randrange(len(content) + 1)
            path.write_bytes(content[:place] + junk.encode() + content[place:])
        return way
    path.unlink()
    if way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    elif way in ("zero", "link"):
        path.symlink_to("/dev/zero" if way == "zero" else outside)
    elif way == "sparse":
        with path.open("wb") as file:
            file.write(content)
            file.truncate(40 * 2**30)
    elif way != "gone":
        wide, deep = content.decode(errors="replace").encode("utf-16"), b"[" * 200_000
        path.write_bytes({"wide": wide, "deep": deep, "nul": content[:20] + b"\0" + content[20:]}[way])
    return way


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of its own; what hangs is ended."""

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conf_files, "_added", [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(dispatch, "_report", lambda error: pytest.fail(f"this should not happen: {error!r}"))
    before = signal.signal(signal.SIGALRM, late)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    compose._composed.clear()


def _one(seed: int, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    draw = random.Random(seed)
    outside = folder / "outside.txt"
    outside.write_text(SECRET)
    stranger = folder / "stranger"
    way = _spoil(made(kind, stranger), draw, outside)
    conf_files._added.clear()
    compose._composed.clear()
    signal.alarm(60)
    KINDS[kind](stranger)
    signal.alarm(0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert SECRET not in out + err
    assert outside.read_text() == SECRET
    assert not any(SECRET in path.read_text(errors="replace") for path in folder.glob("pulled/*"))
    return way


@pytest.mark.parametrize(
    "kind", ["yaml:task/mine.yaml", "peft:card.json", "deltabench:delta.safetensors", "csv:numbers.csv"]
)
def test_some_files_of_strangers(kind: str, alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _one(FEW, kind, alone, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_files_of_strangers(kind: str, alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for number in range(-(-MANY // len(KINDS))):
        (place := alone / str(number)).mkdir()
        try:
            _one(1000 + number, kind, place, capsys)
        except (Exception, pytest.fail.Exception) as error:
            wrong.append(f"seed {1000 + number}: {error!r}"[:600])
        shutil.rmtree(place)
    assert wrong == []


def test_the_files_are_good_before_they_are_spoiled(alone: Path) -> None:
    for number, kind in enumerate(("peft:card.json", "deltabench:card.json")):
        made(kind, alone / str(number))
        assert dispatch.main(["pull", str(alone / str(number)), "--to", str(alone / f"pulled{number}")]) == 0
    made("yaml:task/mine.yaml", alone / "conf")
    for word in ("task=mine", "model=mine", "recipe=mine", "method=mine"):
        assert dispatch.main(["plan", "--config-dir", str(alone / "conf"), word]) == 0, word
