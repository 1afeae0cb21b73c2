"""What a library makes of a full or broken disk is an I/O failure: it is tried again, and its checkpoint stays."""

import errno
import gzip
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from harness import failure
from harness.errors import UsageError
from harness.files import atomic_files
from harness.training import tensor_file
from tests.harness.small_files import small_files

LARGE = torch.zeros(50_000)
TABLE = pa.table({"a": np.arange(50_000)})
WORDS = Tokenizer(WordLevel({str(number): number for number in range(5_000)}, unk_token="0"))


def _stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


def _gzip(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=0) as file:
        file.write(LARGE.numpy().tobytes())


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", LARGE.numpy().tobytes())


def _database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table a(b)")
        connection.executemany("insert into a values(?)", [(b"x" * 1000,)] * 100)


WRITERS: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda path: save_file({"a": LARGE}, path),
    "a checkpoint": lambda path: tensor_file.write(path, {"a": LARGE}),
    "torch.save": lambda path: torch.save(LARGE, path),
    "torch.save of old": lambda path: torch.save(LARGE, path, _use_new_zipfile_serialization=False),
    "torch.from_file": lambda path: torch.from_file(str(path), shared=True, size=50_000),
    "numpy": lambda path: np.save(path, LARGE.numpy()),
    "a memory map": lambda path: np.memmap(path, mode="w+", shape=50_000),
    "gzip": _gzip,
    "json": lambda path: path.write_text(json.dumps([0] * 50_000)),
    "a record": lambda path: atomic_files.write_json(path, {"a": [0] * 50_000}),
    "a line": lambda path: atomic_files.append_json(path, {"a": [0] * 50_000}),
    "parquet": lambda path: pq.write_table(TABLE, path, compression="none", use_dictionary=False),
    "arrow": _stream,
    "tokenizers": lambda path: WORDS.save(str(path)),
    "zip": _zip,
    "sqlite": _database,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_library_that_meets_a_full_disk(name: str, tmp_path: Path) -> None:
    with small_files(4096), pytest.raises(Exception) as raised:  # noqa: PT011  (each has its own kind)
        WRITERS[name](tmp_path / "file")
    assert failure.kind(raised.value) == "io", repr(raised.value)
    assert failure.retries("io", None) > 0
    assert "io" not in failure.LASTING, "its checkpoint stays"


def test_a_device_that_is_full() -> None:
    with pytest.raises(OSError, match="No space") as raised:
        Path("/dev/full").write_bytes(b"x")
    assert failure.kind(raised.value) == "io"


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EDQUOT", "EFBIG", "EROFS", "EMFILE", "ENFILE", "ESTALE"])
def test_every_number_and_every_way_to_wrap_it(code: str) -> None:
    number = getattr(errno, code)
    bare = OSError(number, os.strerror(number))
    assert failure.kind(bare) == "io"
    for text in (f"I/O error: {os.strerror(number)} (os error {number})", str(bare)):
        assert failure.kind(Exception(text)) == "io"
    for wrap in (_as_the_cause, _as_the_context):
        with pytest.raises(UsageError) as wrapped:
            wrap(bare)
        assert failure.kind(wrapped.value) == "io", "a person can put a file right, but not this"


def _as_the_cause(error: OSError) -> None:
    try:
        raise error
    except OSError as caught:
        raise UsageError("the rows cannot be read") from caught


def _as_the_context(error: OSError) -> None:
    try:
        raise error
    except OSError:
        raise UsageError("while it was handled")  # noqa: B904


def test_what_has_nothing_to_do_with_a_disk() -> None:
    assert failure.kind(ValueError("the disk of the sun")) == "exception"
    assert failure.kind(FileNotFoundError(errno.ENOENT, "No such file or directory")) == "exception"
    assert failure.kind(PermissionError(errno.EACCES, "Permission denied")) == "exception"
    assert failure.kind(UsageError("method.rank=0")) == "configuration"
    assert failure.kind(Exception("Cannot allocate memory (os error 12)")) == "memory"
    assert failure.kind(MemoryError()) == "memory"
