"""What makes a record stale: other numbers, not other places of code. Foreign code is followed by its source."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.store import fingerprint, imported_source
from harness.store import identity as cells
from harness.store.record import summarise
from methods import registry as methods

SUBJECT = fingerprint.Subject("lora", "micro/qa", "seq2seq", "t5", "exact_match", ("optimizer=adamw", "gradient_clip"))


def test_every_method_and_family_of_ours_is_proved_by_rows_or_by_its_source() -> None:
    for name, entry in methods.catalogue().items():
        found = fingerprint.parts(replace(SUBJECT, method=name))
        assert (f"rows of method {name}" in found) != (entry.module in found)
        assert {"rows of training", "rows of inputs", "rows of optimizer=adamw", "torch", "transformers"} <= set(found)
    for family in ("t5", "mt5", "bert", "roberta", "llama", "qwen2"):
        assert any(part.startswith("rows of family") for part in fingerprint.parts(replace(SUBJECT, family=family)))


def test_a_metric_that_is_not_known_may_be_any() -> None:
    found = fingerprint.parts(replace(SUBJECT, metric=""))
    assert {"rows of metric accuracy", "rows of metric bleu"} <= set(found)
    assert "rows of metric bleu" not in fingerprint.parts(SUBJECT)


def test_a_renamed_module_of_ours_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.joined(fingerprint.parts.__wrapped__(SUBJECT))
    moved = {name: replace(entry, module=f"methods.moved_{name}") for name, entry in methods.catalogue().items()}
    monkeypatch.setattr(methods, "catalogue", lambda: moved)
    monkeypatch.setattr(fingerprint, "_foreign", fingerprint._foreign.__wrapped__)
    assert fingerprint.joined(fingerprint.parts.__wrapped__(SUBJECT)) == before


def test_a_method_of_another_package_is_proved_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "foreign_method_of_a_test.py"
    path.write_text("RANK = 1  # why")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = replace(methods.catalogue()["lora"], name="theirs", module=path.stem)
    monkeypatch.setattr(methods, "catalogue", lambda: {"theirs": theirs})
    subject = replace(SUBJECT, method="theirs")
    before = fingerprint.parts(subject)
    assert before[path.stem] == imported_source.tree_digest("RANK = 1")
    assert not any(part.startswith("rows of method") for part in before)
    path.write_text("RANK = 2")
    assert fingerprint.parts.__wrapped__(subject) == {**before, path.stem: imported_source.tree_digest("RANK = 2")}
    known = fingerprint.Learnt({}, ((path.stem, path),), {})
    monkeypatch.setattr(imported_source, "_sources", {path.stem: b"RANK = 3"})
    assert fingerprint.imported_parts(known)[path.stem] == imported_source.tree_digest("RANK = 3"), "as it was imported"


def test_a_cell_its_record_and_its_summary_are_one_subject() -> None:
    model = ModelConfig("micro-t5-nano", "t5")
    recipe = RecipeConfig(
        optimizer="sgd", schedule="cosine", accumulate=2, gradient_clip=0.0, warmup_share=0.0, dropout=0.0
    )
    cell = Cell(MethodConfig("lora", {}), model, TaskConfig("micro/qa", shots=4), "seq2seq", recipe, 0)
    one = fingerprint.Subject.of_cell(cell)
    assert one.features == ("optimizer=sgd", "schedule=cosine", "accumulate", "shots")
    assert (one.metric, one.family) == ("exact_match", "t5")
    record = {"attempt": 1, "status": "done", "cell": json.loads(json.dumps(cells.to_json(cell)))}
    for facts in ({}, {"metric": "exact_match"}):
        whole = {**record, "task_facts": facts}
        assert fingerprint.Subject.of_record(whole) == one
        assert fingerprint.Subject.of_summary(summarise(whole)) == one


def said(then: dict[str, str], now: dict[str, str]) -> list[str]:
    return fingerprint.sentences(fingerprint.differing(then, now))


def test_changes_name_the_part() -> None:
    then = {"rows of a": "b=1, c=2", "torch": "2.13", "b": "2", "gone": "4"}
    now = {"rows of a": "b=1, c=3, d=4", "torch": "2.14", "c": "3", "b": "9"}
    assert said(then, now) == [
        "b: changed since", "c: new since", "golden row a/c: changed since", "gone: gone since",
        "torch: 2.13 then, 2.14 now",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["os", "a/../../b", "", "..", "this", "lib2to3.tests.data.py2_test_grammar", "é.x"])
def test_a_record_that_names_another_module_is_stale(name: str) -> None:
    """A record may be somebody else's, with any text as a part."""
    now = dict(fingerprint.parts(SUBJECT))
    assert [*fingerprint.differing({**now, name: "1"}, now)] == [name]


def test_a_record_of_before_results_versions_is_called_so() -> None:
    old = {"harness.run": "1", "methods.lora": "2", "torch": "2.12", "transformers": "5.0"}
    now = {"rows of training": "3", "torch": "2.13", "transformers": "5.0"}
    assert said(old, now) == [fingerprint.BEFORE, "torch: 2.12 then, 2.13 now"]
    assert not fingerprint.is_before_versions(now)
    assert not fingerprint.is_before_versions({})


@pytest.mark.parametrize(
    "module", ["harness.training.fit", "harness.training.step_parts", "methods.lora", "harness.run"]
)
def test_a_checkpoint_is_not_resumed_by_other_code(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where no row of numbers has proved the edit."""
    cell = Cell(MethodConfig("lora", {}), ModelConfig("m", "t5"), TaskConfig("micro/qa"), "seq2seq", RecipeConfig(), 0)
    monkeypatch.setattr(imported_source, "_sources", {})
    before = fingerprint.exact(cell)
    assert fingerprint.exact(cell) == before
    monkeypatch.setattr(imported_source, "_sources", {module: b"value = 0.5"})
    assert fingerprint.exact(cell) != before


def test_a_cells_process_knows_the_same_code_from_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(MethodConfig("lora", {}), ModelConfig("m", "t5"), TaskConfig("micro/qa"), "seq2seq", RecipeConfig(), 0)
    monkeypatch.setattr(fingerprint, "_imported", {})
    by_itself = fingerprint.exact(cell)
    assert fingerprint.imported_parts(fingerprint.learnt(cell)) == fingerprint.parts(fingerprint.Subject.of_cell(cell))
    monkeypatch.setattr(fingerprint, "_training_files", lambda subject: pytest.fail("it is known already"))
    assert fingerprint.exact(cell) == by_itself


def test_minor_versions() -> None:
    assert fingerprint.minor("2.13.0+cpu") == "2.13"
    assert fingerprint.minor(None) == "none"
