"""CrossFit's 160 few-shot tasks (Ye et al. 2021, arXiv 2104.08835), read from a folder that its script has built.

Build: clone https://github.com/INK-USC/CrossFit and run `cd tasks; python _build_gym.py --build --n_proc=10`. Then
task.data_dir=CrossFit/data, or a folder `crossfit` in the data root. A task's files: NAME/NAME_16_100_train.tsv (also
_dev and _test; 32 shots for texts), no header, `input <tab> output`; more outputs, tab-separated, all count as right.

The split seed chooses CrossFit's seed in this order: 100, 13, 21, 42, 87. Its dev rows select, its test rows (the
publisher's validation rows, the first 10,000 at most) are reported. The comparison in Delta Tuning is on full data.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from harness import assets
from harness.config.schema import TaskConfig
from harness.errors import RowsAbsent, UsageError
from harness.files import plain_files
from harness.paths import located
from tasks.base import Example, Splits, TaskRow

TABLE = "crossfit_160_tasks.csv"
SEEDS = (100, 13, 21, 42, 87)
MOST_TEST_ROWS = 10_000  # as in its dataloader
METRICS = {
    "ACC": "text_accuracy", "Classification-F1": "macro_f1", "EM": "exact_match", "QA-F1": "token_f1",
    "Rouge-L": "rouge_l", "Pearson-Correlation": "pearson", "Matthew-Correlation": "matthews",
}  # fmt: skip
"""Its dataloader/metrics.py -> ours; a text that is no number counts as -1, where its Pearson would be undefined."""
_CATEGORIES = {"cls": "classification", "qa": "question answering", "cg": "conditional generation"}


def load(config: TaskConfig) -> Splits:
    """Return train, dev and test of one task. Raise UsageError where the folder lacks what the script builds."""
    if not config.data_dir:
        raise RowsAbsent(
            f"task {config.name}: CrossFit's files are built by its script (github.com/INK-USC/CrossFit, "
            "tasks/_build_gym.py); give its data folder with task.data_dir=FOLDER."
        )
    name = config.name.removeprefix("crossfit/")
    folder = located(config.data_dir)
    folder = folder / name if (folder / name).is_dir() else folder
    stem = _stem(folder, name, SEEDS[config.split_seed % len(SEEDS)])
    train, validation, test = (_read(folder / f"{stem}_{split}.tsv", split) for split in ("train", "dev", "test"))
    return Splits(train, validation, {"test": test[:MOST_TEST_ROWS]})


def _stem(folder: Path, name: str, seed: int) -> str:
    """Return NAME_16_100, with the shots that the folder has."""
    files = sorted(folder.glob(f"{name}_*_{seed}_train.tsv")) if folder.is_dir() else []
    stems = [path.name.removesuffix("_train.tsv") for path in files]
    stems = [stem for stem in stems if stem.removeprefix(f"{name}_").removesuffix(f"_{seed}").isdecimal()]
    if len(stems) != 1:
        what = "no" if not stems else f"{len(stems)} sets of"
        raise UsageError(
            f"task.data_dir={folder}: {what} files {name}_SHOTS_{seed}_train.tsv, as CrossFit builds them."
        )
    return stems[0]


def _read(path: Path, split: str) -> tuple[Example, ...]:
    """Return the rows of a file; lines without an output are left out, as in its dataloader."""
    try:
        lines = plain_files.read_bytes(path, linked=True).decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        unread = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        reason = error.strerror if isinstance(error, OSError) else unread
        raise UsageError(f"{path}: it cannot be read ({reason}).") from error
    rows = [line.strip("\r\n ").split("\t") for line in lines]
    examples = tuple(
        Example(f"{split}-{i}", {"input": row[0]}, target=row[1], references=tuple(row[1:]) if len(row) > 2 else ())
        for i, row in enumerate(rows)
        if len(row) > 1 and row[1]
    )
    if not examples:
        raise UsageError(f"{path}: it has no line `input <tab> output`.")
    return examples


def _table() -> Mapping[str, TaskRow]:
    lines = plain_files.read_text(assets.published() / TABLE).splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {f"crossfit/{row['task']}": _task(row) for row in rows}


def _task(row: Mapping[str, str]) -> TaskRow:
    kind = row["category"]
    return TaskRow(
        category=row["subcategory"] if kind == "other" else f"{_CATEGORIES[kind]}: {row['subcategory']}",
        template="{input}", metric=METRICS[row["metric"]], load=load, answer="text", max_input_tokens=512,
        max_target_tokens=128, source="INK-USC/CrossFit @ 56285ca (GitHub), built by its script", folder="crossfit",
        size="few-shot: 16 a class (texts: 32)", verified="docs", files=((f"{row['task']}",),),
        notes={"few_shot": "16 rows a class, or 32 rows; the paper's comparison is on full data"},
    )  # fmt: skip


TASKS: Mapping[str, TaskRow] = _table()
