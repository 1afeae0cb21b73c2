"""Where a split's rows lie in a folder: one file, the shards of a Hub repository, or a `save_to_disk` folder."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.files.strict_json import unique_fields
from harness.paths import located

SUFFIXES = (
    ".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".arrow",
)  # fmt: skip
ALIASES = {"validation": ("validation", "dev", "valid", "val")}
"""What a split's file may be called; the first name is the Hub's."""
SAVED = "state.json"  # of `Dataset.save_to_disk`
_FACTS = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
"""Files of the `datasets` library that hold no rows."""


class SplitAbsent(UsageError):
    """A folder has no file for a split. Files that are there but broken raise another UsageError."""


def find(folder: Path, split: str, places: Sequence[str] = (), within: Sequence[str] = ()) -> tuple[Path, ...]:
    """Return the files of one split, in order. Raise UsageError where there are none, or where two claim the split.

    places: stems to look for instead of the split's name, e.g. "dataset/boolq/test". within: subfolders to look into
    where the folder itself has none, e.g. the data set's configuration.
    """
    if not folder.is_dir():
        raise SplitAbsent(f"task.data_dir={folder}: no such folder; it must hold {split}.jsonl or the like.")
    stems = tuple(name for place in places or (split,) for name in ALIASES.get(place, (place,)))
    for base in (folder, *(folder / name for name in within if name)):
        for place in places or (split,):
            candidates = [files for name in ALIASES.get(place, (place,)) for files in _named(base, name)]
            if len(candidates) > 1:
                names = " and ".join(files[0].name for files in candidates)
                raise UsageError(f"task.data_dir={base}: {names} both claim the {split} split. Keep one.")
            if candidates:
                return candidates[0]
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise SplitAbsent(
        f"task.data_dir={folder}: no file for the {split} split; it may be {' or '.join(stems)} with one of "
        f"{', '.join(SUFFIXES)}, or a folder of datasets.save_to_disk. The folder holds: {there}."
    )


def has(folder: Path, split: str, places: Sequence[str] = (), within: Sequence[str] = ()) -> bool:
    """Return whether the folder has files of the split, whole or not; `find` raises what is wrong about them."""
    try:
        return bool(find(folder, split, places, within))
    except SplitAbsent:
        return False


def others(folder: Path, splits: Sequence[str]) -> list[str]:
    """Return the names of the folder's files of rows that belong to none of these splits, sorted."""
    stems = "|".join(re.escape(name) for split in splits for name in ALIASES.get(split, (split,)))
    suffixes = "|".join(map(re.escape, SUFFIXES))
    of_split = re.compile(rf"({stems})(-\d+-of-\d+(-[0-9a-f]{{8,}})?)?({suffixes})")
    names = [path.name for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file()]
    return sorted(name for name in names if name not in _FACTS and not of_split.fullmatch(name))


def given(folder: Path, name: str, split: str) -> tuple[Path, ...]:
    """Return the files that task.files names for a split: a file, a stem without its suffix, or a saved folder."""
    path = folder / located(name)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise UsageError(f"task.files: {path.name} has none of the known endings {', '.join(SUFFIXES)}.")
        return (path,)
    return find(folder, split, places=(name,))


def _named(folder: Path, stem: str) -> list[tuple[Path, ...]]:
    """Return every way in which the folder holds `stem`; other files there, such as copies and locks, are no split.

    Raise UsageError where a split's file is a broken link or no plain file: it must not count as absent.
    """
    for path in (folder / f"{stem}{suffix}" for suffix in SUFFIXES):
        if os.path.lexists(path) and not path.is_file():
            what = "leads nowhere" if path.is_symlink() and not path.exists() else "is no plain file"
            raise UsageError(f"{folder}: {path.name} {what}. Put the rows of {stem} there, or take it away.")
    single = [(path,) for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    saved = folder / stem
    arrows = _saved(saved) if (saved / SAVED).is_file() else ()
    converted = _numbered(saved) if saved.is_dir() else ()
    return [*single, *(files for files in (*_shards(folder, stem), arrows, converted) if files)]


def _shards(folder: Path, stem: str) -> list[tuple[Path, ...]]:
    """Return the shards `stem-00000-of-00002.parquet`, whole. The Hub once wrote a digest behind the numbers.

    Raise UsageError where one is missing, and where the shards of two pushes lie beside each other.
    """
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)-of-(\d+)(-[0-9a-f]{{8,}})?({'|'.join(map(re.escape, SUFFIXES))})")
    sets: dict[tuple[int, str], dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (match := pattern.fullmatch(path.name)) and path.is_file():
            numbered = sets.setdefault((int(match[2]), match[4]), {})
            if int(match[1]) in numbered:
                raise UsageError(
                    f"{folder}: {numbered[int(match[1])].name} and {path.name} are the same shard of two pushes. "
                    "Keep the shards of one."
                )
            numbered[int(match[1])] = path
    if len(sets) > 1:
        counts = " and ".join(f"of {count} ({next(iter(paths.values())).name})" for (count, _), paths in sets.items())
        raise UsageError(f"{folder}: there are {len(sets)} sets of {stem} shards, {counts}. Keep those of one push.")
    for (count, _), paths in sets.items():
        first = next(iter(paths.values())).name
        if absent := sorted(set(range(count)) - set(paths)):
            width = len(first.removeprefix(f"{stem}-").partition("-")[0])
            name = f"{stem}-{absent[0]:0{width}}-of-{count:0{width}}"
            raise UsageError(f"{folder}: {name} is missing ({len(absent)} of {count} shards are). Get it again.")
        if beyond := sorted(set(paths) - set(range(count))):
            raise UsageError(f"{folder}: {paths[beyond[0]].name} is no shard of {count}: their numbers begin at 0.")
    return [tuple(path for _, path in sorted(paths.items())) for paths in sets.values()]


def _saved(folder: Path) -> tuple[Path, ...]:
    """Return the Arrow files that a folder of `Dataset.save_to_disk` lists; caches beside them are not its rows."""
    try:
        state = json.loads((folder / SAVED).read_text(encoding="utf-8"), object_pairs_hook=unique_fields)
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{folder / SAVED}: it must list `_data_files`, as datasets.save_to_disk writes it."
        ) from error
    paths = tuple(folder / Path(name).name for name in names)
    if absent := [path.name for path in paths if not path.is_file()]:
        raise UsageError(f"{folder}: {absent[0]} is missing, which {SAVED} lists. Save the data set again.")
    return paths


def _numbered(folder: Path) -> tuple[Path, ...]:
    """Return the Hub's own Parquet copies, 0000.parquet and so on, without a gap."""
    files = sorted(path for path in folder.iterdir() if re.fullmatch(r"\d{4}\.parquet", path.name))
    for place, path in enumerate(files):
        if int(path.stem) != place:
            raise UsageError(f"{folder}: {place:04}.parquet is missing, and {path.name} is there. Get it again.")
    return tuple(files)
