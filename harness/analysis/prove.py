"""Prove that today's code gives the numbers of a reference run: write its proof.json.

python -m harness.analysis.prove EXHIBIT --store DIR [--before DIR …]

--store has cells that today's code ran, --before the same cells by commits that made reference records, on this machine
with these packages (a clone at such a commit runs them into a store of its own). On the machine that made the reference
its own records serve, and no --before is needed. One cell of each kind suffices (output/proofs.py in this folder), and
it may have fewer steps and test rows than the reference. The older run's repeatable fields and curve must be in the
newer one bit for bit. The first validation loss must be that of the reference, but for the rounding of another
processor, which no comparison of bits survives.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import assets
from harness.analysis.output import proofs
from harness.analysis.output.proofs import Kind
from harness.config import conf_files
from harness.errors import UsageError
from harness.experiments import exhibits
from harness.files import atomic_files
from harness.store import archive, fingerprint, identity, provenance
from harness.store.archive import Run
from harness.store.record import REPEATED
from harness.store.store import Store

FIELDS = tuple(name for name in REPEATED if name not in ("schema", "key", "cell"))
"""What is compared besides the curve. The key stands for the cell, whose JSON may gain fields at their default."""
START = 1e-5
"""The largest relative difference of the first validation loss: single precision on two kinds of processor."""


@dataclass(frozen=True)
class Pair:
    """One cell by older code and by today's. reference: whether the older run is the reference's own record."""

    before: Run
    now: Run
    reference: bool


def proof(reference: Sequence[Run], now: Iterable[Run], before: Iterable[Run] = ()) -> dict[str, Any]:
    """Return the content of proof.json for reference records, from runs by today's code and by older code.

    Raise UsageError where a kind of record has no cell that both ran.
    """
    kinds = _by_kind(run for run in reference if run.record["status"] == "done")
    ours = {run.record["key"]: run for run in now if run.record["status"] == "done" and Kind.of(run.record) in kinds}
    for run in ours.values():
        _check_current(run.record)
    commits = {_commit(run) for run in reference}
    older = _by_kind(run for run in before if _commit(run) in commits)
    pairs = {kind: list(_pairs(ours, runs, older.get(kind, []))) for kind, runs in kinds.items()}
    if missing := [kind for kind, matched in pairs.items() if not matched]:
        raise UsageError(_missing(missing[0], kinds[missing[0]], len(missing)))
    rows = [_row(kind, kinds[kind], pairs[kind]) for kind in kinds]
    digests = {name: digest for runs in kinds.values() for name, digest in proofs.parts(runs[0].record).items()}
    names = sorted({name for kind in kinds for name in kind.groups})
    made = provenance.gather()
    commits_now = sorted({str(_commit(pair.now)) for matched in pairs.values() for pair in matched})
    return {
        "by": {"commits": commits_now, **{name: made[name] for name in ("packages", "python", "machine")}},
        "compared": [*FIELDS, "curve"],
        "groups": {name: proofs.group(name, digests[name]) for name in names},
        "kinds": rows,
    }


def _check_current(record: Mapping[str, Any]) -> None:
    made = record.get("provenance") or {}
    if made.get("fingerprint") != fingerprint.joined(proofs.parts(record)):
        raise UsageError(f"cell {record['key'][:12]} of --store is not by today's code: run it again with rerun=stale.")
    if made.get("git_changed"):
        raise UsageError(f"cell {record['key'][:12]} of --store was run with uncommitted changes: commit, then run it.")


def _commit(run: Run) -> str | None:
    return (run.record.get("provenance") or {}).get("git")


def _by_kind(runs: Iterable[Run]) -> dict[Kind, list[Run]]:
    by_kind: dict[Kind, list[Run]] = defaultdict(list)
    for run in runs:
        by_kind[Kind.of(run.record)].append(run)
    return dict(by_kind)


def _pairs(ours: Mapping[str, Run], reference: Sequence[Run], older: Sequence[Run]) -> Iterator[Pair]:
    """Yield the cells of one kind that both codes ran on machines of one kind."""
    for run, is_reference in [*((run, True) for run in reference), *((run, False) for run in older)]:
        now = ours.get(run.record["key"])
        if now is None or run.record["status"] != "done" or run.record.get("provenance") == now.record["provenance"]:
            continue  # a record proves nothing of itself
        if _place(run.record) == _place(now.record):
            yield Pair(run, now, is_reference)


def _place(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the last bits of a number depend on besides the code."""
    made = record.get("provenance") or {}
    return (made.get("machine") or {}).get("processor"), made.get("packages"), made.get("python"), made.get("threads")


def _row(kind: Kind, reference: Sequence[Run], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return one kind for proof.json."""
    gaps = [gap for pair in pairs if (gap := start_gap(reference, pair.now)) is not None]
    differs = [
        f"cell {pair.now.record['key'][:12]}: {', '.join(names)}" for pair in pairs if (names := differing(pair))
    ]
    if not gaps:
        differs.append("no cell starts as a cell of the reference")
    elif max(gaps) > START:
        differs.append(f"the first validation loss is {max(gaps):.2g} away from the reference's")
    return {
        "groups": list(kind.groups),
        "revision": kind.revision,
        "commits": sorted({str(_commit(run)) for run in reference}),
        "records": len(reference),
        "cells": [
            {
                "key": pair.now.record["key"],
                "steps": pair.now.record["cell"]["recipe"]["steps"],
                "with": "the reference record" if pair.reference else f"commit {_commit(pair.before)} on one machine",
            }
            for pair in pairs
        ],
        "first_loss_gap": max(gaps, default=None),
        "differs": differs,
    }


def differing(pair: Pair) -> list[str]:
    """Return the repeatable fields, or "curve", where the newer run lacks a value of the older one."""
    before, now = pair.before, pair.now
    unequal = [name for name in FIELDS if not _within(before.record.get(name), now.record.get(name))]
    curves = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.curve] for run in (before, now)]
    return [*unequal, *([] if curves[0] and _within(*curves) else ["curve"])]


def _within(old: Any, new: Any) -> bool:
    """Return whether each value of `old` is in `new`, bit for bit; a mapping may have gained names."""
    if isinstance(old, Mapping):
        return isinstance(new, Mapping) and all(name in new and _within(old[name], new[name]) for name in old)
    if isinstance(old, list | tuple):
        same = isinstance(new, list | tuple) and len(old) == len(new)
        return same and all(map(_within, old, new))
    return bool(old == new)


def start_gap(reference: Sequence[Run], now: Run) -> float | None:
    """Return the relative difference of the first validation loss from that of the same cell of the reference.

    None where the reference has no cell that differs from it in steps and test rows alone.
    """
    wanted = identity.from_json(now.record["cell"])
    for run in reference:
        cell = identity.from_json(run.record["cell"])
        recipe = replace(cell.recipe, **{name: getattr(wanted.recipe, name) for name in ("steps", "evaluate_every")})
        task = replace(cell.task, **{name: getattr(wanted.task, name) for name in ("test_size", "digest")})
        if identity.key(replace(cell, recipe=recipe, task=task)) == now.record["key"]:
            old, new = (float(record.curve[0]["validation_loss"]) for record in (run, now))
            return abs(old - new) / max(abs(old), 1e-12)
    return None


def _missing(kind: Kind, runs: Sequence[Run], count: int) -> str:
    record = min(runs, key=lambda run: (run.record["time"].get("train_s") or 0, run.record["key"])).record
    commit = str(record["provenance"].get("git"))[:12]
    named = f"{record['key'][:12]} ({record['cell']['method']['name']} on {record['cell']['task']['name']})"
    rest = f"; {count - 1} more kinds lack one too" if count > 1 else ""
    return (
        f"{named}: no cell of its kind was run by a commit of the reference ({commit}) and by "
        f"today's code on one machine{rest}. Run one with both, and name the stores with --before and --store."
    )


def _runs(folders: Iterable[str]) -> Iterator[Run]:
    for folder in folders:
        store = Store(folder, read_only=True)
        store.check_present()
        yield from (Run(*pair) for pair in store.runs(store.keys()))


def main(words: Sequence[str]) -> int:
    """Write the proof of one reference run and print its result. Return 1 where a kind differs."""
    parser = argparse.ArgumentParser(prog="python -m harness.analysis.prove", description=__doc__)
    parser.add_argument("exhibit", metavar="EXHIBIT")
    parser.add_argument("--store", required=True, metavar="DIR", help="cells that today's code ran")
    parser.add_argument("--before", nargs="*", default=[], metavar="DIR", help="the same cells by older commits")
    given = parser.parse_args(words)
    exhibit = exhibits.load(given.exhibit, conf_files.folders()[:-1])
    folder = assets.reference() / exhibit.cells_of
    reference = archive.from_archive(folder / archive.ARCHIVE)
    content = proof(reference, _runs([given.store]), _runs(given.before))
    atomic_files.write_json(folder / proofs.FILE, content)
    bad = [kind for kind in content["kinds"] if kind["differs"]]
    cells = sum(len(kind["cells"]) for kind in content["kinds"])
    print(f"{folder / proofs.FILE}: {cells} cells prove {len(content['kinds'])} kinds of record, {len(bad)} differ")
    for kind in bad:
        print(f"  {'; '.join(kind['differs'])}")
    return int(bool(bad))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UsageError as error:
        sys.exit(str(error))
