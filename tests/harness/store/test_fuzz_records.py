"""Whatever a file of a store holds: no traceback, the other cells stand, nothing outside the store is written.

Seeded; three hundred draws under `slow`. Bit flips, truncations, huge numbers, wrong types, path tricks in names.
"""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study import frame
from harness.cli import dispatch, record_text
from harness.errors import UsageError
from harness.files import plain_files, strict_json
from harness.store import archive, identity, merge, requested_grids
from harness.store import record as schema
from harness.store.store import Store

FEW, MANY = 5, 300
GOLDEN = json.loads((Path(__file__).parent / "golden" / "record-schema-1.json").read_text())
JUNK = (
    *(None, True, -1, 0, 1e308, -1e308, 10**18, 10**19, "", " ", [], {}, [[]], {"": {}}, [None], "null", "nan", "0"),
    *("../../../evil", "/evil", "..", "a/../../evil", "~/evil", "evil\x00", "\x00", "\x1b[2J", "\ud800", "a" * 300),
    *(
        "a" * 100_000,
        "[/red]",
        "[bold]",
        "%s",
        "{0}",
        "${oc.env:HOME}",
        "!!python/object:os.system",
        "\n",
        "漢",
        "\u202e",
    ),
    *({"a": {"b": {"c": [1, {"d": "../evil"}]}}}, ["a"] * 1000, list(range(1000)), "done", "running", 3.5, "x" * 64),
)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9" * 5000, "[" * 100_000, '"\\ud800"', "", "}", ",")


def made(store: Store) -> list[str]:
    """A small store of real records: cells of two methods and two seeds, one of them failed, one with two attempts."""
    base = GOLDEN["record"]
    keys = []
    for seed, rank, status in ((0, 4, "done"), (1, 4, "done"), (0, 8, "failed"), (1, 8, "done")):
        content = {**base["cell"], "seed": seed, "method": {**base["cell"]["method"], "rank": rank}}
        cell = identity.from_json(content)
        for number in (1, 2) if rank == 8 else (1,):
            folder = store.begin(cell)
            for point in GOLDEN["curve"]:
                folder.append("curve.jsonl", point)
            error = {"type": "E", "message": "m", "log": ["l"]} if status == "failed" else None
            record = {**base, "key": identity.key(cell), "attempt": number, "cell": content, "status": status}
            store.finish(identity.key(cell), folder, {**record, "error": error})
        keys.append(identity.key(cell))
    requested_grids.note(store, requested_grids.of("all", [store.cell(key) for key in keys]))
    return keys


def spoil(path: Path, draw: random.Random) -> None:
    """One way or another of not being what was written."""
    content = path.read_bytes()
    kind = draw.randrange(6)
    if kind == 0 and content:
        flipped = bytearray(content)
        for _ in range(draw.choice((1, 1, 3, 30))):
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
    elif kind == 1:
        path.write_bytes(content[: draw.randrange(len(content) + 1)])
    elif kind == 2:
        path.write_bytes(bytes(draw.randrange(256) for _ in range(draw.randrange(3000))))
    else:
        value = json.loads(content.splitlines()[-1] if path.suffix == ".jsonl" else content)
        holder, key = draw.choice(list(_places(value)))
        if kind == 5:
            holder[key] = "@"
            text = json.dumps(value).replace('"@"', draw.choice(RAW), 1)
        else:
            holder[key] = draw.choice(JUNK) if draw.random() < 0.8 else draw.choice(list(_places(value)))[0]
            text = json.dumps(value) if _plain(value) else "[]"
        path.write_text(text)


def _places(value: Any) -> Any:
    """Every (holder, key) of a JSON value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except ValueError:  # it holds itself
        return False
    return True


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command says; it ends with 0 or 2 and in words."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "reports"))
    monkeypatch.setattr("tempfile.tempdir", None)

    def told(*words: str) -> str:
        capsys.readouterr()
        code = dispatch.main(words)
        out, err = capsys.readouterr()
        assert code in (0, 2), (words, err)
        assert "Traceback" not in err, words
        assert "should not happen" not in err, (words, err)
        assert (code == 2) <= err.startswith("deltabench: "), (words, err)
        if "--json" in words and code == 0:
            json.loads(out, parse_constant=lambda name: pytest.fail(f"{words}: {name}"))
        return out

    return told


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attack(folder: Path, template: Path, draw: random.Random, told: Callable[..., str]) -> bool:
    """One broken file in a copy of the store, then every page that reads a store; whether it was put aside."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder / "store")
    store = Store(folder / "store")
    keys = sorted(store.keys())
    victim = draw.choice([path for path in sorted(store.path.rglob("*")) if path.suffix != ".gz" and path.is_file()])
    others = [key for key in keys if key not in victim.parts]
    before = {key: store.read(key) for key in others}
    spoil(victim, draw)
    broken = victim.read_bytes()
    where, outside = f"store={store.path}", {p: c for p, c in _files(folder).items() if store.path not in p.parents}
    told("status", where)
    told("status", where, "--json")
    broken_cell = [key for key in keys if key in victim.parts]
    for key in [*broken_cell, *others][:2]:  # the cell of the broken file, and another
        told("show", key, where)
        told("show", key, where, "--json")
        told("why", key, where)
    told("why", keys[0], keys[1], where, "--json")
    told("table", where, "--json")
    told("table", where, "--by", "method", "--metric", "test,memory,n")
    told("store", "gc", where)
    told("store", "merge", str(store.path), f"store={folder}/merged")
    shutil.rmtree(folder / "merged", ignore_errors=True)
    told("store", "export", str(folder / "out.parquet"), where)
    told("store", "export", str(folder / "out.jsonl.gz"), where)
    try:
        fresh = Store(store.path)
    except UsageError:  # a store of a newer schema, by its marker: refused as a whole, and left as it is
        assert victim.name == "store.json"
        assert victim.read_bytes() == broken
        return False
    runs = archive.from_store(fresh, fresh.keys())
    for read in (frame.scores, frame.curves, frame.failures):
        with suppress(UsageError):
            assert set(read(runs).key) <= set(keys)
    assert {key: fresh.read(key) for key in others} == before
    assert any(content == broken for content in _files(store.path).values()) or victim.name == "current"
    left = {p: c for p, c in _files(folder).items() if store.path not in p.parents and not p.name.startswith("out.")}
    assert left == outside
    return (store.path / "quarantine").exists()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("template") / "store")
    made(store)
    return store.path


def _all(count: int, seed: int, tmp_path: Path, template: Path, told: Callable[..., str]) -> None:
    aside = 0
    for place in range(count):
        aside += attack(tmp_path / "case", template, random.Random(seed + place), told)
        assert not (tmp_path / "reports").exists()
    assert count / 4 < aside < count


def test_some_broken_files(tmp_path: Path, template: Path, told: Callable[..., str]) -> None:
    _all(FEW, 0, tmp_path, template, told)


@pytest.mark.slow
def test_three_hundred_broken_files(tmp_path: Path, template: Path, told: Callable[..., str]) -> None:
    _all(MANY, 10_000, tmp_path, template, told)


@pytest.mark.parametrize("seed", range(3))
def test_a_record_with_junk_in_it_is_refused_or_can_be_told(seed: int) -> None:
    """What passes for a record is shown, tabled and framed, beside a good one."""
    draw, read = random.Random(seed), 0
    good = archive.Run(GOLDEN["record"], tuple(GOLDEN["curve"]))
    for _ in range(40):
        spoilt = json.loads(json.dumps(GOLDEN))
        for _ in range(draw.choice((1, 1, 2, 5))):
            holder, key = draw.choice(list(_places(spoilt["record"] if draw.random() < 0.8 else spoilt["curve"])))
            holder[key] = draw.choice(JUNK)
        spoilt = strict_json.parse(strict_json.encode(spoilt))
        try:
            record = schema.record(spoilt["record"], GOLDEN["record"]["key"], GOLDEN["record"]["attempt"])
        except (ValueError, schema.Newer):
            continue
        curve = [row for row in spoilt["curve"] if isinstance(row, dict) and schema.is_point(row)]
        assert record_text.text(record, curve)
        assert set(archive.row(record, curve)) == {"record", "curve"}
        for build in (frame.scores, frame.curves, frame.failures):
            assert set(build([archive.Run(record, tuple(curve)), good]).key) <= {good.record["key"]}
        read += 1
    assert 5 < read < 40


def test_a_merge_of_broken_files_takes_what_is_whole(tmp_path: Path, template: Path) -> None:
    draw = random.Random(3)
    shutil.copytree(template, tmp_path / "other")
    paths = sorted((tmp_path / "other" / "cells").rglob("record.json"))
    for path in paths[:-1]:
        path.write_bytes(plain_files.read_bytes(path)[: draw.randrange(50)])
    merged = merge.merge(Store(tmp_path / "mine"), Store(tmp_path / "other", read_only=True))
    assert len(merged.taken) == 1
    assert [str(path) for path in (tmp_path / "other").rglob("quarantine")] == []
