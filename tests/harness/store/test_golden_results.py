"""The committed numbers are those of this code: a row that differs is named, with the command that writes them anew."""

from collections.abc import Iterator

import pytest
import torch

from harness.store import fingerprint, results_version
from harness.training import step
from methods import registry as methods
from tests.harness.conftest import OtherRows
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
    now = {name: golden_rows.compute(row) for name, row in found.items()}
    return [name for name, digits in now.items() if not golden_rows.agrees(name, known.get(name, ()), digits)]


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
    proved = {name for name in methods.catalogue() if results_version.rows_of(f"method {name}")}
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


SUBJECTS = {
    "lora": fingerprint.Subject("lora", "micro/qa", "seq2seq", "t5", "exact_match", ("optimizer=adamw",)),
    "dora": fingerprint.Subject("dora", "micro/qa", "seq2seq", "t5", "exact_match", ("optimizer=adamw",)),
    "sgd": fingerprint.Subject("lora", "micro/qa", "causal", "llama", "accuracy", ("optimizer=sgd",)),
}


def made(before: bool = False) -> dict[str, dict[str, str]]:
    """The parts of records of today. before: as records had them that keep one digest of a whole group."""
    found = {name: dict(fingerprint.parts(subject)) for name, subject in SUBJECTS.items()}
    for parts in found.values() if before else ():
        for name in [name for name in parts if name.startswith(fingerprint.ROWS)]:
            rows = results_version.rows_of(name.removeprefix(fingerprint.ROWS))
            parts[name] = str(results_version.rows_digest(rows))
    return found


def stale(records: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """What is said of the records that are stale."""
    found = {name: fingerprint.differing(parts, fingerprint.parts(SUBJECTS[name])) for name, parts in records.items()}
    return {name: fingerprint.sentences(one) for name, one in found.items() if one}


@pytest.mark.parametrize("before", [False, True])
def test_a_changed_row_makes_stale_what_it_concerns(other_rows: OtherRows, before: bool) -> None:
    records = made(before)

    def moved(row: str) -> set[str]:
        other_rows({row: ["1"]})
        return {*stale(records)}

    assert moved("method lora/t5") == {"lora", "sgd"}
    assert moved("family t5/t5-gated") == moved("objective seq2seq/text") == {"lora", "dora"}
    assert moved("metric exact_match/fixed") == {"lora", "dora"}
    assert moved("optimizer=sgd/gpt2") == {"sgd"}
    assert moved("training/seeds") == {"lora", "dora", "sgd"}
    assert moved("beams/gpt2") == set()


@pytest.mark.parametrize("before", [False, True])
def test_a_row_that_is_added_makes_nothing_stale(other_rows: OtherRows, before: bool) -> None:
    records = made(before)
    added = {f"{group}/added": ["0.5"] for group in {name.partition("/")[0] for name in results_version.golden()}}
    other_rows({**added, "objective of tomorrow/t5": ["1"]})
    assert fingerprint.parts(SUBJECTS["lora"]) != records["lora"]
    assert stale(records) == {}
    later = made()
    other_rows({**added, "training/added": ["0.75"]})
    assert stale(records) == {}
    assert stale(later) == {name: ["golden row training/added: changed since"] for name in SUBJECTS}


def test_a_row_that_is_gone_is_named(other_rows: OtherRows) -> None:
    records, older = made(), made(before=True)
    rows = results_version.rows_of("method dora")
    other_rows({rows[0]: None})
    assert stale(records) == {"dora": [f"golden row {rows[0]}: gone since"]}
    assert stale(older) == {"dora": ["rows of method dora: changed since"]}
    other_rows(dict.fromkeys(rows))
    assert stale(records)["dora"][: len(rows)] == [f"golden row {row}: gone since" for row in rows]
    assert "rows of method dora: gone since" in stale(older)["dora"]


def test_rows_in_place_of_a_source_make_nothing_stale(other_rows: OtherRows) -> None:
    subject = fingerprint.Subject("qlora", "micro/qa", "seq2seq", "t5", "exact_match")
    record = dict(fingerprint.parts(subject))
    other_rows({"method qlora/t5": ["1"]})
    assert set(record) - set(fingerprint.parts(subject)) >= {"methods.qlora"}
    assert fingerprint.differing(record, fingerprint.parts(subject)) == {}
    edited = {**record, "methods.qlora": "0"}
    assert [*fingerprint.differing(edited, fingerprint.parts(subject))] == ["methods.qlora"]


def test_the_text_of_a_group_gives_back_its_rows() -> None:
    for group in {name.partition("/")[0] for name in results_version.golden()}:
        rows = {name: results_version.row_digest(name) for name in results_version.rows_of(group)}
        assert results_version.digests(group, results_version.text(group)) == rows
        assert results_version.digests(group, str(results_version.rows_digest(rows))) == rows
    assert results_version.digests("training", "0123456789abcdef") is None
