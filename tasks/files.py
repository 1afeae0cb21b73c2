"""Where a split's rows lie in a folder: one file, the shards of a Hub repository, or a `save_to_disk` folder."""

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError

SUFFIXES = (
    ".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".arrow",
)  # fmt: skip
ALIASES = {"validation": ("validation", "dev", "valid", "val")}
"""What a split's file may be called; the first name is the Hub's."""
SAVED = "state.json"  # of `Dataset.save_to_disk`


def find(folder: Path, split: str, places: Sequence[str] = (), within: Sequence[str] = ()) -> tuple[Path, ...]:
    """The files of one split, in order. UsageError where there are none, or where two claim the split.

    places: stems to look for instead of the split's name, e.g. "dataset/boolq/test". within: subfolders to look into
    where the folder itself has none, e.g. the data set's configuration.
    """
    if not folder.is_dir():
        raise UsageError(f"task.data_dir={folder}: no such folder; it must hold {split}.jsonl or the like.")
    stems = tuple(name for place in places or (split,) for name in ALIASES.get(place, (place,)))
    for base in (folder, *(folder / name for name in within if name)):
        for stem in stems:
            found = _named(base, stem)
            if len(found) > 1:
                names = " and ".join(files[0].name for files in found)
                raise UsageError(f"task.data_dir={base}: {names} both claim the {split} split. Keep one.")
            if found:
                return found[0]
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise UsageError(
        f"task.data_dir={folder}: no file for the {split} split; it may be {' or '.join(stems)} with one of "
        f"{', '.join(SUFFIXES)}, or a folder of datasets.save_to_disk. The folder holds: {there}."
    )


def has(folder: Path, split: str, places: Sequence[str] = (), within: Sequence[str] = ()) -> bool:
    """Whether `find` would find the split."""
    try:
        return bool(find(folder, split, places, within))
    except UsageError:
        return False


def given(folder: Path, name: str, split: str) -> tuple[Path, ...]:
    """The files that task.files names for a split: a file, a stem without its suffix, or a saved folder."""
    path = folder / Path(name).expanduser()
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise UsageError(f"task.files: {path.name} has none of the known endings {', '.join(SUFFIXES)}.")
        return (path,)
    return find(folder, split, places=(name,))


def _named(folder: Path, stem: str) -> list[tuple[Path, ...]]:
    """Every way in which the folder holds `stem`."""
    single = [(path,) for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    shards = tuple(sorted(folder.glob(f"{stem}-[0-9]*-of-[0-9]*.parquet")))
    saved = folder / stem
    arrows = tuple(sorted(saved.glob("*.arrow"))) if (saved / SAVED).is_file() else ()
    converted = tuple(sorted(saved.glob("[0-9][0-9][0-9][0-9].parquet")))  # the Hub's own Parquet copies
    return [*single, *(found for found in (shards, arrows, converted) if found)]
