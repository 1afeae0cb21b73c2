"""A proof makes a reference current as long as the golden rows behind it stay as they were."""

import dataclasses

import pytest

from harness import assets
from harness.analysis import prove
from harness.analysis.output import proofs
from harness.config.schema import Cell, MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.files import atomic_files
from harness.store import archive, fingerprint, identity, provenance, results_version
from harness.store.archive import Run


def run(method: str = "lora", steps: int = 100, commit: str = "old", loss: float = 1.5, seed: int = 0) -> Run:
    """A record of one commit on this machine; `now` is made by today's code."""
    recipe = RecipeConfig(name="micro", learning_rate=0.001, steps=steps, evaluate_every=steps)
    cell = Cell(
        MethodConfig(method, {}),
        ModelConfig("micro-t5-nano", "t5", revision="r"),
        TaskConfig("micro/qa", digest="d"),
        "seq2seq",
        recipe,
        seed,
    )
    content = identity.to_json(cell, kinds=("identity", "provenance"))
    record = {"schema": 1, "key": identity.key(cell), "attempt": 1, "status": "done", "cell": content}
    record |= {
        "scores": {"last": {"step": steps, "sets": {"test": {"accuracy": loss / 3}}}},
        "notes": {"device": "cpu"},
    }
    record |= {"time": {"train_s": 1.0}, "task_facts": {"metric": "exact_match"}}
    made = {**provenance.gather(), "git": commit, "git_changed": False, "threads": 1}
    parts = dict(proofs.parts(record)) if commit == "now" else {"harness.batches": "5a", **_libraries()}
    made |= {"fingerprint": fingerprint.joined(parts), "fingerprint_parts": parts}
    rows = [{"step": step, "validation_loss": loss, "seconds": step * 0.1} for step in (0, steps)]
    return Run({**record, "provenance": made}, tuple(rows))


def _libraries() -> dict[str, str]:
    return {name: fingerprint.minor(provenance.installed(name)) for name in fingerprint.LIBRARIES}


def elsewhere(one: Run) -> Run:
    made = {**one.record["provenance"], "machine": {"processor": "another"}}
    return dataclasses.replace(one, record={**one.record, "provenance": made})


REFERENCE = [run(), run(seed=1), run("dora")]


def write(folder, *given) -> proofs.Proof:
    atomic_files.write_json(folder / proofs.FILE, prove.proof(*given))
    return proofs.load(folder)


def test_a_reference_without_a_proof_is_stale_with_the_reason(tmp_path):
    assert proofs.stale(REFERENCE, proofs.load(tmp_path)) == {r.record["key"]: proofs.NO_PROOF for r in REFERENCE}
    assert proofs.stale([run(commit="now")]) == {}


def test_a_cell_of_each_kind_with_the_same_numbers_makes_all_current(tmp_path):
    proof = write(tmp_path, REFERENCE, [run(commit="now"), run("dora", commit="now")])
    assert len(proof.differs) == 2
    assert proofs.stale(REFERENCE, proof) == {}


def test_a_kind_without_a_cell_is_named_with_what_to_run():
    with pytest.raises(UsageError, match=r"dora on micro/qa.*\(old\)"):
        prove.proof(REFERENCE, [run(commit="now")])


def test_a_cell_that_differs_makes_its_kind_stale(tmp_path):
    proof = write(tmp_path, REFERENCE, [run(commit="now"), run("dora", commit="now", loss=1.5000001)])
    found = proofs.stale(REFERENCE, proof)
    assert list(found) == [REFERENCE[2].record["key"]]
    assert "differs: cell" in found[REFERENCE[2].record["key"]]
    assert "scores, curve" in found[REFERENCE[2].record["key"]]


def test_another_machine_needs_a_run_of_the_older_commit_on_this_one(tmp_path):
    reference = [elsewhere(run(loss=1.5))]
    now, short = run(commit="now"), [run(commit="now", steps=20), run(steps=20)]
    with pytest.raises(UsageError, match="on one machine"):
        prove.proof(reference, [now])
    assert proofs.stale(reference, write(tmp_path, reference, short[:1], short[1:])) == {}
    with pytest.raises(UsageError, match="on one machine"):  # a commit that made no record of the reference
        prove.proof(reference, short[:1], [run(steps=20, commit="other")])
    wrong = [elsewhere(run(loss=1.6))]  # the older commit does not give what the reference has
    reason = proofs.stale(wrong, write(tmp_path, wrong, short[:1], short[1:]))
    assert "first validation loss" in next(iter(reason.values()))


def test_a_record_proves_nothing_of_itself():
    now = run(commit="now")
    with pytest.raises(UsageError, match="no cell of its kind"):
        prove.proof([now], [now])


def test_a_run_with_uncommitted_changes_proves_nothing():
    now = run(commit="now")
    made = {**now.record["provenance"], "git_changed": True}
    with pytest.raises(UsageError, match="uncommitted changes"):
        prove.proof([run()], [dataclasses.replace(now, record={**now.record, "provenance": made})])


def test_a_store_by_other_code_proves_nothing():
    with pytest.raises(UsageError, match="rerun=stale"):
        prove.proof([run()], [run()])


def test_a_changed_golden_row_of_its_groups_makes_a_proof_stale(tmp_path, other_rows):
    proof = write(tmp_path, REFERENCE, [run(commit="now"), run("dora", commit="now")])
    other_rows({"method dora/t5": ["1", "2"]})
    assert proofs.stale(REFERENCE, proof) == {
        REFERENCE[2].record["key"]: "changed since its proof: rows of method dora"
    }
    other_rows({"training/seeds": ["1"]})
    assert len(proofs.stale(REFERENCE, proof)) == 3


def test_a_row_that_is_new_or_of_another_group_leaves_a_proof_as_it_is(tmp_path, other_rows):
    proof = write(tmp_path, REFERENCE, [run(commit="now"), run("dora", commit="now")])
    other_rows({"method lora/new": ["1"], "method vera/t5": ["1"], "schedule=linear/new": ["1"], "recipe/new": ["1"]})
    assert proofs.stale(REFERENCE, proof) == {}


def test_a_new_minor_version_of_torch_makes_a_record_stale_whatever_is_proved(tmp_path):
    older = run()
    then = {**older.record["provenance"]["fingerprint_parts"], "torch": "1.0"}
    made = {**older.record["provenance"], "fingerprint_parts": then}
    proof = write(tmp_path, REFERENCE, [run(commit="now"), run("dora", commit="now")])
    older = dataclasses.replace(older, record={**older.record, "provenance": made})
    assert "torch: 1.0 then" in proofs.stale([older], proof)[older.record["key"]]


@pytest.mark.parametrize("path", sorted(assets.reference().glob(f"*/{archive.ARCHIVE}")), ids=lambda p: p.parent.name)
def test_every_committed_reference_is_current_whatever_rows_are_added(path, other_rows):
    runs, proof = archive.from_archive(path), proofs.load(path.parent)
    assert proofs.stale(runs, proof) == {}
    groups = {name.partition("/")[0] for name in results_version.golden()}
    other_rows({**{f"{group}/added": ["0.5"] for group in groups}, "metric of tomorrow/added": ["0.5"]})
    assert proofs.stale(runs, proof) == {}
    other_rows({"training/seeds": ["1"]})
    assert set(proofs.stale(runs, proof)) == {run.record["key"] for run in runs if run.record["status"] == "done"}
