"""The committed numbers are those of this code: a row that differs is named, with the command that writes them anew."""

from collections.abc import Iterator

import pytest
import torch

from harness.store import fingerprint, results_version
from harness.training import step
from methods import registry as methods
from tests.harness.store import golden_rows


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    golden_rows._train.cache_clear()
    with golden_rows.double_precision():
        yield
    golden_rows._train.cache_clear()


def changed(full: bool, only: str = "") -> list[str]:
    known = results_version.golden()
    found = {name: row for name, row in golden_rows.rows(full).items() if only in name}
    assert found
    return [name for name, row in found.items() if not golden_rows.same(known.get(name, ()), golden_rows.compute(row))]


ADVICE = (
    f"These rows of numbers changed, so results of such cells become stale. If that is meant: {golden_rows.COMMAND}"
)


def test_the_numbers_are_those_of_the_results_version() -> None:
    assert changed(full=False) == [], ADVICE


@pytest.mark.slow
def test_all_rows_are_those_of_the_results_version() -> None:
    assert changed(full=True) == [], ADVICE


def test_every_row_is_kept_and_no_other() -> None:
    assert set(results_version.golden()) == set(golden_rows.rows())
    proved = {name for name in methods.catalogue() if results_version.group_digest(f"method {name}")}
    assert {*methods.catalogue()} - proved == {*golden_rows.UNPROVED}


@pytest.mark.parametrize("row", ["method lora/gpt2", "family bart/bart", "objective masked/label", "accumulate/gpt2"])
def test_a_doubled_loss_changes_every_row_that_trains(monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    def doubled(*arguments: object, **more: object) -> tuple[torch.Tensor, torch.Tensor]:
        loss, total = losses(*arguments, **more)  # type: ignore[arg-type]
        return 2 * loss, 2 * total

    assert changed(full=True, only=row) == []
    golden_rows._train.cache_clear()
    losses = step.losses
    monkeypatch.setattr(step, "losses", doubled)
    assert changed(full=True, only=row) == [row]


def test_a_row_agrees_to_its_last_digit() -> None:
    assert golden_rows.same(("0.123456789", "3"), ["0.123456790", "3"])
    assert not golden_rows.same(("0.123456789",), ["0.123456799"])
    assert not golden_rows.same(("1",), ["1", "2"])


def test_a_changed_row_changes_the_fingerprints_that_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fingerprint.Subject("lora", "micro/qa", "seq2seq", "t5", "exact_match", ("optimizer=adamw",))
    others = {
        "lora": subject,
        "dora": fingerprint.Subject("dora", "micro/qa", "seq2seq", "t5", "exact_match", ("optimizer=adamw",)),
        "sgd": fingerprint.Subject("lora", "micro/qa", "causal", "llama", "accuracy", ("optimizer=sgd",)),
    }
    rows = dict(results_version.golden())

    def moved(row: str) -> set[str]:
        before = {name: fingerprint.joined(dict(fingerprint.parts.__wrapped__(one))) for name, one in others.items()}
        with monkeypatch.context() as patch:
            patch.setattr(results_version, "golden", lambda: {**rows, row: ("1",)})
            patch.setattr(results_version, "_groups", results_version._groups.__wrapped__)
            now = {name: fingerprint.joined(dict(fingerprint.parts.__wrapped__(one))) for name, one in others.items()}
        return {name for name in others if now[name] != before[name]}

    assert moved("method lora/t5") == {"lora", "sgd"}
    assert (
        moved("family t5/t5-gated")
        == moved("objective seq2seq/text")
        == moved("metric exact_match/fixed")
        == {"lora", "dora"}
    )
    assert moved("optimizer=sgd/gpt2") == {"sgd"}
    assert moved("training/seeds") == {"lora", "dora", "sgd"}
    assert moved("beams/gpt2") == set()
