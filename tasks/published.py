"""A published data set: from the Hub, or from a local folder whose files have the Hub's schema.

The reported set never selects: where the publisher hides the test labels, its validation rows are our test
rows and a validation split is carved from train (seeded, stratified by label).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config import TaskConfig
from harness.errors import UsageError
from tasks import choose, local
from tasks.base import Example, Splits

CARVED_ROWS = 1000  # of train, where task.validation_size does not say otherwise; at most a tenth


@dataclass(frozen=True)
class Source:
    """Where a data set lives and what its rows look like.

    hub, config, revision: the data set on the Hub. texts: the text fields that become `Example.fields`.
    label: the field with the class index. test: the publisher's split that we report.
    """

    hub: str
    config: str
    revision: str
    texts: tuple[str, ...]
    label: str = "label"
    test: str = "validation"

    @property
    def schema(self) -> Mapping[str, type]:
        return {**dict.fromkeys(self.texts, str), self.label: int}


def loader(source: Source) -> Callable[[TaskConfig], Splits]:
    """The `load` of a task row."""

    def load(config: TaskConfig) -> Splits:
        train, test = _split(source, config, "train"), _split(source, config, source.test)
        size = config.validation_size or min(CARVED_ROWS, len(train) // 10)
        if size >= len(train):
            raise UsageError(
                f"task.validation_size={size}: validation rows of {config.name} are carved from its "
                f"{len(train)} train rows, and some must be left to train on."
            )
        validation, rest = choose.carve(train, size, config.split_seed)
        return Splits(rest, validation, {"test": test})

    return load


def _split(source: Source, config: TaskConfig, split: str) -> tuple[Example, ...]:
    """Rows are named by split and position, so the Hub and a folder with the same rows give one digest."""
    rows = _folder(source, config.data_dir, split) if config.data_dir else _hub(source, config.name, split)
    return tuple(
        Example(f"{split}-{i}", {text: row[text] for text in source.texts}, row[source.label])
        for i, row in enumerate(rows)
    )


def _folder(source: Source, folder: str, split: str) -> list[local.Row]:
    return local.read(local.find(Path(folder).expanduser(), split), source.schema)


def _hub(source: Source, task: str, split: str) -> list[local.Row]:
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its six retries without a network would each print a warning
    try:
        rows = datasets.load_dataset(source.hub, source.config, revision=source.revision, split=split)
    except Exception as error:  # a dozen kinds: no network, no such id, no such revision
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"task {task}: {source.hub} ({source.config}, {split}) could not be read from the Hub "
            f"({reason:.200}). Connect to the network once, or give a local copy with task.data_dir=FOLDER."
        ) from error
    return [local.typed(dict(row), source.schema, f"{source.hub} {split} row {i}") for i, row in enumerate(rows)]
