"""A run that is cut off and goes on from its checkpoint ends as one that was not, bit for bit."""

import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness import failure
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.environment import STOP_AT
from harness.errors import UsageError
from harness.models import weight_files
from harness.run import run
from harness.store.attempt_folder import CHECKPOINT, RESUMED, AttemptFolder
from harness.training import fit as fit_module
from harness.training import optimizers, tensor_file
from harness.training.checkpoint import Stopped
from methods import registry as methods
from methods.attachment.hooks import insert
from methods.backbone.roles import after
from methods.backbone.trainable_parameters import Delta
from methods.base import Method
from tasks import registry as tasks

RECIPE = RecipeConfig(learning_rate=1e-2, steps=8, evaluate_every=3, batch_size=4)
GENERATED = [(name, row.answer) for name, row in sorted(tasks.catalogue().items()) if "generated" in row.source]
TASK = next(name for name, answer in GENERATED if answer == "label")  # its evaluation takes no generation
KEPT = ("curve.jsonl", "predictions.jsonl.gz", "delta-best.safetensors", "delta-last.safetensors")


class Cut(Exception):
    """Stands for the end of a process between two steps."""


@dataclass(frozen=True)
class Runs:
    """Real runs in folders of their own. cut: ends before step `before`, a checkpoint after every step until then."""

    path: Path
    patch: pytest.MonkeyPatch

    def folder(self) -> Path:
        made = self.path / f"{len(list(self.path.iterdir()))}" / "1"
        made.mkdir(parents=True)
        return made

    def go(self, what: Cell, folder: Path | None = None, **runtime: Any) -> tuple[dict[str, Any], Path]:
        folder = folder or self.folder()
        settings = {"device": "cpu", "checkpoint_minutes": 0.0, **runtime}
        return run(what, Runtime(**settings), AttemptFolder(folder)), folder

    def cut(self, what: Cell, before: int, folder: Path | None = None) -> Path:
        """The folder of the next attempt, to which the checkpoint was handed on as the worker does it."""
        folder, take = folder or self.folder(), fit_module.take

        def until(step: fit_module.Step) -> float:
            if step.number == before:
                raise Cut
            return take(step)

        with self.patch.context() as patch:
            patch.setattr(fit_module, "take", until)
            with pytest.raises(Cut):
                self.go(what, folder, checkpoint_steps=1)
        after = folder.with_name(str(int(folder.name) + 1))
        after.mkdir()
        (folder / CHECKPOINT).rename(after / CHECKPOINT)
        return after


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A run of `cell("bitfit")` that nothing cut off: several tests compare with it."""
    return Runs(tmp_path_factory.mktemp("undisturbed"), pytest.MonkeyPatch()).go(cell("bitfit"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `cell("bitfit")` keeps where it was cut off before step 6: several tests change it."""
    cut = Runs(tmp_path_factory.mktemp("cut"), pytest.MonkeyPatch()).cut(cell("bitfit"), 6)
    return (cut / CHECKPOINT).read_bytes()


def cell(method: str = "lora", **fields: Any) -> Cell:
    model = weight_files.resolve(ModelConfig(name="micro-t5-nano", family="t5", weights="random"))
    data = tasks.resolve(TaskConfig(TASK, train_size=24, validation_size=10, test_size=10))
    values = methods.resolve(method, fields) if method in methods.catalogue() else fields
    return Cell(MethodConfig(method, values), model, data, "seq2seq", RECIPE)


def assert_same(one: tuple[dict[str, Any], Path], other: tuple[dict[str, Any], Path]) -> None:
    """Scores, curve, predictions and what was trained; all but clock and memory."""
    (mine, here), (theirs, there) = one, other
    for part in ("status", "scores", "best_step", "parameters", "notes", "task_facts"):
        assert mine[part] == theirs[part]
    assert mine["time"]["steps"] == theirs["time"]["steps"]
    assert _curve(here) == _curve(there)
    for name in KEPT[1:]:
        assert (here / name).exists() == (there / name).exists()
        assert not (here / name).exists() or (here / name).read_bytes() == (there / name).read_bytes(), name


def _curve(folder: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (folder / KEPT[0]).read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RESUMED).read_text())
    return found


def _staged(name: str) -> bool:
    made = methods.make(MethodConfig(name, methods.resolve(name, {})))
    return type(made).stages is not Method.stages


STAGED = [name for name, entry in methods.catalogue().items() if not entry.parents and _staged(name)]


@pytest.mark.parametrize("method", ["full", "prefix", *STAGED])
def test_cut_off_anywhere_it_ends_the_same(runs: Runs, method: str) -> None:
    """In the middle of an interval, right after an evaluation, and in the last stage, one after the other."""
    assert len(STAGED) > 2
    whole = runs.go(cell(method))
    folder: Path | None = None
    for before in (3, 4, 8):
        folder = runs.cut(cell(method), before, folder)
    again = runs.go(cell(method), folder)
    assert told(again[1]) == {"resumed_from": [2, 3, 7]}
    assert_same(whole, again)


def test_what_stops_when_the_time_is_over_goes_on_and_ends_the_same(
    runs: Runs, undisturbed: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saves a checkpoint then, whatever else asks for one."""
    one, folder, take = cell("bitfit"), runs.folder(), fit_module.take

    def late(step: fit_module.Step) -> float:
        if step.number == 5:
            step.work.keeper.stop_at = 0.0
        return take(step)

    with monkeypatch.context() as patch:
        patch.setenv(STOP_AT, str(time.time() + 3600))
        patch.setattr(fit_module, "take", late)
        with pytest.raises(Stopped, match="after step 5"):
            runs.go(one, folder)
    assert failure.status(failure.kind(Stopped(5))) == "interrupted"
    after = folder.with_name("2")
    after.mkdir()
    (folder / CHECKPOINT).rename(after / CHECKPOINT)
    assert_same(undisturbed, runs.go(one, after))
    assert told(after) == {"resumed_from": [5]}


def test_with_dropout_it_ends_the_same(runs: Runs) -> None:
    """A method's own dropout and the backbone's draw from generators whose states are kept."""
    one = cell("lora", dropout=0.5)
    one = replace(one, recipe=replace(one.recipe, dropout=0.2))
    whole = runs.go(one)
    again = runs.go(one, runs.cut(one, 4))
    assert_same(whole, again)


class Restless(Delta):
    """Adds to its host's output what changes in every way that is no training of a parameter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("mask", torch.ones(width), persistent=False)
        self.register_buffer("grown", torch.zeros(1))
        self.attribute = torch.zeros(width)
        self.count, self.word = 0, "before"
        self.source = torch.Generator().manual_seed(1)
        self.log = [0.0]

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        told = self.attribute + self.count / 100 + self.log[-1] + self.get_buffer("grown").mean() + len(self.word)
        return output * self.scale * self.get_buffer("mask") + told / 100

    def get_extra_state(self) -> list[float]:
        return self.log

    def set_extra_state(self, state: list[float]) -> None:
        self.log = state

    @torch.no_grad()
    def move(self) -> None:
        self.count, self.word = self.count + 1, self.word + "!"
        self.log.append(float(np.random.rand()) + random.random())
        self.get_buffer("mask").data[torch.randint(16, (1,), generator=self.source)] = 0.5
        self.grown = torch.rand(self.count)
        self.attribute += torch.rand(len(self.attribute))


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(methods.catalogue()))
def test_every_method_goes_on(runs: Runs, method: str) -> None:
    entry = methods.catalogue()[method]
    if entry.parents or entry.evaluation_only:
        pytest.skip("its cells build on others, or are not trained")
    try:
        whole = runs.go(cell(method))
    except UsageError as error:
        pytest.skip(f"not applicable here: {error}")
    if whole[0]["parameters"]["delta"] == 0:
        pytest.skip("nothing trains")
    again = runs.go(cell(method), runs.cut(cell(method), 6, runs.cut(cell(method), 3)))
    assert told(again[1]) == {"resumed_from": [2, 5]}
    assert_same(whole, again)


@dataclass(frozen=True)
class Restive(Method):
    """Of no catalogue: a frozen weight of the backbone moves too."""

    name: ClassVar[str] = "restive"

    def attach(self, model: Any) -> None:
        insert(next(iter(after(model, "ffn").values())), "restive", Restless(model.shared.weight.shape[1]))

    def after_step(self, model: Any, step: int) -> None:
        next(module for module in model.modules() if isinstance(module, Restless)).move()
        model.shared.weight.data.mul_(0.999)


def test_whatever_a_method_changes_is_kept(runs: Runs) -> None:
    with runs.patch.context() as patch:
        patch.setattr("harness.run.methods.make", lambda config, outline: Restive())
        whole = runs.go(cell("restive"))
        again = runs.go(cell("restive"), runs.cut(cell("restive"), 6))
    assert told(again[1]) == {"resumed_from": [5]}
    assert_same(whole, again)


@pytest.mark.parametrize("optimizer", sorted(optimizers._MAKERS))
def test_every_optimiser_goes_on(runs: Runs, optimizer: str) -> None:
    what = cell("bitfit")
    what = replace(what, recipe=replace(RECIPE, optimizer=optimizer, weight_decay=0.1))
    assert_same(runs.go(what), runs.go(what, runs.cut(what, 6)))


@pytest.mark.parametrize("way", ["flipped", "short", "empty", "foreign", "code", "torch", "key", "shape", "format"])
def test_what_cannot_be_used_is_told_and_training_begins_anew(
    runs: Runs, way: str, undisturbed: tuple[dict[str, Any], Path], checkpoint: bytes
) -> None:
    what, folder, content = cell("bitfit"), runs.folder(), checkpoint
    path = folder / CHECKPOINT
    if way == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif way == "short":
        path.write_bytes(content[: len(content) // 2])
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "foreign":
        save_file({"x": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
        held = tensor_file.read(path)
        held["made_by"] |= {way: "another"} if way != "shape" else {}
        if way == "shape":
            held["model"]["trained"] = {name: t[..., :1] for name, t in held["model"]["trained"].items()}
        tensor_file.write(path, held)
    again = runs.go(what, folder)
    assert list(told(folder)) == ["restarted"]
    if way in ("code", "torch", "key", "format"):
        assert told(folder)["restarted"].endswith(way)
    assert_same(undisturbed, again)


def test_a_checkpoint_that_cannot_be_written_costs_nothing(runs: Runs) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    whole = runs.go(cell())
    with runs.patch.context() as patch:
        patch.setattr("harness.training.tensor_file.write", full)
        again = runs.go(cell(), checkpoint_steps=2)
    assert "No space left" in again[0]["notes"].pop("checkpoint")
    assert_same(whole, again)
    assert not (again[1] / CHECKPOINT).exists()


def test_saving_changes_nothing_and_none_is_due_unless_asked(runs: Runs) -> None:
    whole, often = runs.go(cell()), runs.go(cell(), checkpoint_steps=1)
    assert_same(whole, often)
    assert not (whole[1] / CHECKPOINT).exists()
    assert tensor_file.read(often[1] / CHECKPOINT)["place"]["step"] == RECIPE.steps - 1
    assert runs.go(cell(), checkpoint_minutes=1e-9)[0]["time"]["checkpoint_s"] > 0


@pytest.mark.parametrize("value", [
    None, [1, 2.5, "x", True, None], (1, (2, [])), {1: "a", "b": {"tensor": 3}}, 2**70, float("inf"),
    {"t": torch.arange(3), "s": torch.tensor(1.5, dtype=torch.bfloat16), "e": torch.empty(0), "n": torch.eye(3).T[1:]},
])  # fmt: skip
def test_a_packed_value_comes_back(tmp_path: Path, value: Any) -> None:
    tensor_file.write(tmp_path / "x", value)
    again = tensor_file.read(tmp_path / "x")
    if isinstance(value, dict) and "t" in value:
        assert all(
            torch.equal(again[name], tensor) and again[name].dtype == tensor.dtype for name, tensor in value.items()
        )
    else:
        assert again == value
        assert type(again) is type(value)


def test_only_plain_values_are_packed(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path"):
        tensor_file.write(tmp_path / "x", {"a": [tmp_path]})
    with pytest.raises(FileNotFoundError):
        tensor_file.read(tmp_path / "x")
