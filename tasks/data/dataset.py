"""A published data set: from the Hub, or from a local folder whose files have the Hub's schema.

The reported set never selects: where the publisher hides the test labels, its validation rows are our test
rows and a validation split is carved from train (seeded, stratified by label). Where there is no labelled set but
train, the test rows are carved from train too, the same ones for every `task.split_seed`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.config.schema import TaskConfig
from harness.errors import UsageError, near
from harness.paths import located
from tasks.base import Example, Splits, TaskRow
from tasks.data import hub_rows, read_before, row_files, split_files, splits
from tasks.data.row_reader import Reader

CARVED_ROWS = 1000  # of train, where task.validation_size does not say otherwise; at most a tenth
CARVED = ""  # a split that the publisher does not have


@dataclass(frozen=True)
class Source:
    """Where a data set lives and what its rows look like.

    hub, config, revision: the data set on the Hub; hub "" where it has no copy there. reader: its rows.
    train, validation, tests (our name -> the publisher's split): CARVED where there is none. The tests that a local
    folder lacks are left out, all but one. places: split -> stems of its local file, where not the split's name.
    keep: rows that stay, for sets with rows that have no answer. test_source: where the tests are another data set's.
    about: what to get where there is no copy on the Hub.
    """

    reader: Reader
    hub: str = ""
    config: str | None = None
    revision: str = ""
    train: str = "train"
    validation: str = CARVED
    tests: Mapping[str, str] = field(default_factory=lambda: {"test": "validation"})
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keep: Callable[[Example], bool] | None = None
    test_source: "Source | None" = None
    about: str = ""

    def splits(self) -> tuple[str, ...]:
        """Return the publisher's splits that are read."""
        named = (self.train, self.validation, *self.tests.values())
        return tuple(dict.fromkeys(split for split in named if split != CARVED))


def row(data: Source, category: str, template: str, metric: str, **values: Any) -> TaskRow:
    """Return a row of a table: what `TaskRow` has, with the data's `load`, `files` and address."""
    address = " ".join(filter(None, (data.hub, data.config))) or "local files"
    pinned = f" @ {data.revision[:12] if len(data.revision) == 40 else data.revision}" if data.hub else ""
    needed = (data.train, data.validation, next(iter(data.tests.values()), CARVED))
    places = tuple(data.places.get(split, (split,)) for split in dict.fromkeys(needed) if split != CARVED)
    values = {"files": places, "source": address + pinned, **values}
    return TaskRow(category, template, metric, partial(load, data), **values)


def load(source: Source, config: TaskConfig) -> Splits:
    """Return the three splits of a data set, before they are cut to size."""
    source.reader.check(config)
    if not config.data_dir and (config.columns or config.files):
        named = "columns" if config.columns else "files"
        raise UsageError(f"task.{named} says how local rows of {config.name} are read: add task.data_dir=FOLDER.")
    train = _split(source, config, source.train)
    tests = {name: _split(source, config, split) for name, split in _tests(source, config).items()}
    for name in [name for name, split in source.tests.items() if split == CARVED and name not in tests]:
        tests[name], train = splits.carve(train, _size(None, train), seed=0)
    if source.validation != CARVED:
        return Splits(train, _split(source, config, source.validation), tests)
    validation, rest = carved(train, config)
    return Splits(rest, validation, tests)


def carved(train: tuple[Example, ...], config: TaskConfig) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return (validation, the rest of train). Raise UsageError where nothing would be left to train on."""
    size = _size(config.validation_size, train)
    if size >= len(train):
        raise UsageError(
            f"task.validation_size={size}: validation rows of {config.name} are carved from its "
            f"{len(train)} train rows, and some must be left to train on."
        )
    return splits.carve(train, size, config.split_seed)


def _size(wanted: int | None, train: tuple[Example, ...]) -> int:
    return wanted or min(CARVED_ROWS, len(train) // 10)


def _tests(source: Source, config: TaskConfig) -> dict[str, str]:
    """Return our name -> the publisher's split of the tests that can be read; the Hub has them all."""
    named = {name: split for name, split in source.tests.items() if split != CARVED}
    if not config.data_dir:
        return named
    folder, within = located(config.data_dir), _within(source)
    given = _given(source, config)
    here = {
        name: split
        for name, split in named.items()
        if split in given or split_files.has(folder, split, source.places.get(split, ()), within)
    }
    return here or named  # reading the absent ones raises what is missing


def _split(source: Source, config: TaskConfig, split: str) -> tuple[Example, ...]:
    """Return the rows of a split.

    They are named by split and position, so that the Hub and a folder with the same rows give one digest.
    """
    own = source.test_source if source.test_source and split in source.tests.values() else source
    if not config.data_dir:
        rows = hub_rows.rows(config.name, own.hub, own.config, own.revision, split, own.reader.schema, source.about)
        return _examples(source, own.reader, rows, split, f"task {config.name}, {split}")
    paths = _paths(source, config, split)
    columns = dict(pair.split("=", 1) for pair in config.columns or ())

    def read() -> tuple[Example, ...]:
        rows = row_files.read_all(paths, own.reader.schema, columns)
        return _examples(source, own.reader, rows, split, f"task {config.name}, {config.data_dir}: {split}")

    return read_before.rows(source, (split, paths, config.columns), paths, read)


def _examples(
    source: Source, reader: Reader, rows: Iterable[row_files.Row], split: str, where: str
) -> tuple[Example, ...]:
    """Return the rows that stay as examples. where: the split, in words."""
    made = (reader.example(f"{split}-{i}", row, f"{where} row {i + 1}") for i, row in enumerate(rows))
    return tuple(row for row in made if source.keep is None or source.keep(row))


def _paths(source: Source, config: TaskConfig, split: str) -> tuple[Path, ...]:
    """Return the local files of a split, in order."""
    folder, given = located(config.data_dir or ""), _given(source, config)
    if split in given:
        return split_files.given(folder, given[split], split)
    return split_files.find(folder, split, source.places.get(split, ()), _within(source))


def _given(source: Source, config: TaskConfig) -> dict[str, str]:
    """Return the publisher's split -> the file that task.files names for it, by the publisher's name or ours.

    Raise UsageError for a name that is neither.
    """
    ours = {"train": source.train, "validation": source.validation, **source.tests}
    given = {}
    for name, file in (pair.split("=", 1) for pair in config.files or ()):
        split = ours.get(name) or (name if name in source.splits() else CARVED)
        if split == CARVED:
            raise UsageError(f"task.files: {config.name} reads no split {name!r}.{near(name, filter(None, ours))}")
        given[split] = file
    return given


def _within(source: Source) -> tuple[str, ...]:
    """Return the subfolders in which a clone of a Hub repository has its files."""
    return tuple(name for name in (source.config, "data", source.config and f"data/{source.config}") if name)
