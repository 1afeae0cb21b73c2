"""Whether records are current: by their own fingerprint, or by a proof that lies beside the reference. Torch-free.

`proof.json` beside the reference records of an exhibit says for each kind of record that cells of that kind were run
by a commit of the reference and by later code, on one machine, and that their numbers were the same bit for bit. A kind
is a set of golden groups and a backbone. `python -m harness.analysis.prove` writes the file. A proof lists
the golden rows of its groups with a digest, so a row that changes later makes it stale. Rows that are added do not.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import plain_files
from harness.store import fingerprint, results_version
from harness.store.archive import Run
from harness.store.fingerprint import LIBRARIES, ROWS, Subject

FILE = "proof.json"
NO_PROOF = "no proof that today's code gives its numbers"


@dataclass(frozen=True)
class Kind:
    """The facts that records share where one of them stands for all: golden groups, and the backbone's revision."""

    groups: tuple[str, ...]
    revision: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Kind":
        """Return the kind of a record."""
        groups = tuple(sorted(name for name in parts(record) if name not in LIBRARIES))
        return cls(groups, str(record["cell"]["model"].get("revision")))


@dataclass(frozen=True)
class Proof:
    """The content of a proof.json.

    groups: group -> {"rows", "digest"} at the time of the proof. differs: kind -> what differed, empty where nothing
    did.
    """

    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    differs: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)

    def kind_of(self, record: Mapping[str, Any]) -> Kind | None:
        """Return the proved kind of a record, or None.

        Groups that were added after the proof are no part of its kinds. Groups that have no rows today still are.
        """
        today = Kind.of(record)
        if today in self.differs:
            return today
        known = {name for name in today.groups if name in self.groups}
        kinds = [kind for kind in self.differs if kind.revision == today.revision and known <= {*kind.groups}]
        return next((kind for kind in kinds if all(map(_is_gone, {*kind.groups} - known))), None)


def parts(record: Mapping[str, Any]) -> Mapping[str, str]:
    """Return today's parts of the fingerprint of such a record."""
    return fingerprint.parts(Subject.of_record(record))


def _is_gone(group: str) -> bool:
    return group.startswith(ROWS) and fingerprint.today(group) is None


def group(name: str, digest: str) -> dict[str, Any]:
    """Return a group for proof.json. digest: today's, of a module without rows."""
    rows = results_version.rows_of(name.removeprefix(ROWS)) if name.startswith(ROWS) else ()
    return {"rows": list(rows), "digest": results_version.rows_digest(rows) if rows else digest}


def load(folder: Path) -> Proof:
    """Return the proof in the folder of a reference run; an empty one where it has none that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = plain_files.read_json(folder / FILE, linked=True)
        kinds = {Kind(tuple(kind["groups"]), kind["revision"]): (*kind["differs"],) for kind in content["kinds"]}
        return Proof(content["groups"], kinds)
    return Proof()


def stale(runs: Iterable[Run], proof: Proof | None = None) -> dict[str, str]:
    """Return key -> reason for the finished records that are not current."""
    reasons = {}
    known = proof or Proof()
    for run in runs:
        if run.record["status"] == "done" and (reason := _reason(run.record, known)):
            reasons[str(run.record["key"])] = reason
    return reasons


def _reason(record: Mapping[str, Any], proof: Proof) -> str:
    """Return why a record is not current; "" where it is."""
    made, now = record.get("provenance") or {}, parts(record)
    if made.get("fingerprint") == fingerprint.joined(now):
        return ""
    then = made.get("fingerprint_parts") or {}
    if moved := [name for name in LIBRARIES if then and then.get(name) != now.get(name)]:
        return "; ".join(f"{name}: {then.get(name)} then, {now.get(name)} now" for name in moved)
    kind = proof.kind_of(record)
    if kind is None:
        changes = fingerprint.sentences(fingerprint.differing(then, now))
        return "; ".join(changes) if then and not fingerprint.is_before_versions(then) else NO_PROOF
    if differs := proof.differs[kind]:
        return f"a run by today's code differs: {'; '.join(differs)}"
    changed = [name for name in kind.groups if not _as_proved(proof.groups.get(name), fingerprint.today(name))]
    return f"changed since its proof: {', '.join(changed)}" if changed else ""


def _as_proved(known: Mapping[str, Any] | None, digest: str | None) -> bool:
    """Return whether a group is as it was when it was proved."""
    if known is None:
        return False
    return bool(known["digest"] == (results_version.rows_digest(known["rows"]) if known["rows"] else digest))
