"""A task that is a YAML and files: `--config-dir DIR` with DIR/task/NAME.yaml. The same fields adapt a registered task.

name, data_dir      its name; the folder with train, validation and test (or `files: {train: a.csv, test: b.tsv}`)
template            the input text over the files' columns: "premise : {premise} hypothesis : {hypothesis}"
                    A name may have spaces and signs: "{Review Text}"; {meta.title} is the field title of the object
                    meta
columns             where a column has another name: {premise: sentence1, label: gold, target: summary.short}
label_words         one word per class; the label is its index, or the word itself, or one of `labels` in this order
answer              label (label words), choice (columns: {choices: [a, b]}, or one column with a list), or text
                    (the column `target`); left out, it follows from what is given
labels              the texts or numbers that stand for the classes in the files, in the order of the label words
files               the file of each split, where it has another name: {train: a.csv, test: b.tsv}
metric              the name of a metric of tasks/metrics; accuracy, or exact_match where the answer is a text
category            a word for the kind of task, which tables may group by
max_input_tokens    longer inputs are cut
max_target_tokens   the longest answer that is trained on and generated

No input is read from the column of the answer, and a name that nothing reads is refused.

A test whose labels are all -1 is hidden: the validation rows are the test then, and validation is carved from train.
"""

from dataclasses import replace

from harness.config.schema import TaskConfig
from harness.errors import UsageError, shown
from harness.paths import located
from tasks import templates
from tasks.base import OWN_FILES, Splits, TaskRow
from tasks.data import dataset, split_files
from tasks.data.dataset import CARVED, Source
from tasks.data.nested_fields import FieldAbsent
from tasks.data.row_reader import HIDDEN, Reader

_METRICS = {"label": "accuracy", "choice": "accuracy", "text": "exact_match"}
_TARGET_TOKENS = {"label": 8, "choice": 64, "text": 64}


def is_own(config: TaskConfig) -> bool:
    """Return whether the configuration defines a task without being registered."""
    return config.template is not None


def row(config: TaskConfig) -> TaskRow:
    """Return the task that a configuration describes. Raise UsageError for a template that names no column."""
    answer = _answer(config)
    words = (config.label_words or ()) if answer == "label" else ()
    if answer == "label" and len(words) < 2:
        raise UsageError(f"task {config.name}: give its label words, as in task.label_words=[bad, good], two at least.")
    _check_words(config, answer)
    if not _texts(config):
        raise UsageError(f"task {config.name}: task.template={shown(config.template)} names no column, as in {{text}}.")
    return TaskRow(
        category=config.category or "own",
        template=config.template or "",
        metric=config.metric or _METRICS[answer],
        load=load,
        label_words=tuple(words),
        answer=answer,
        chance=1 / len(words) if words else 0.0,
        max_target_tokens=config.max_target_tokens or _TARGET_TOKENS[answer],
        source=OWN_FILES,
    )


def _check_words(config: TaskConfig, answer: str) -> None:
    """Raise UsageError for label words and labels that would not be read, or that do not pair."""
    words, labels = config.label_words or (), config.labels or ()
    if answer == "text" and (words or labels):
        named = "label_words" if words else "labels"
        raise UsageError(f"task.{named}: the answers of task {config.name} are texts; leave it out, or answer=text.")
    if len(set(labels)) < len(labels):
        raise UsageError(
            f"task.labels={', '.join(labels)}: a label stands there twice; name each class once. Spaces "
            "around a label do not count."
        )
    if answer == "label" and labels and len(labels) != len(words):
        raise UsageError(
            f"task.labels={', '.join(labels)}: there are {len(words)} label words ({', '.join(words)}), and each "
            "needs its label, in the same order."
        )


def adapt(base: TaskRow, config: TaskConfig) -> TaskRow:
    """Return a registered task with the configuration's template, words, answer and metric.

    Raise UsageError for task.labels: the order of a registered task's classes is known.
    """
    if config.labels:
        raise UsageError(
            f"task.labels: {config.name} knows the order of its classes; task.label_words names them anew."
        )
    if config.template is not None and not _fields(config.template) and _fields(base.template):
        raise UsageError(
            f"task.template={config.template}: it has no field, so every row of {config.name} would read the same; "
            f"name one of {', '.join(f'{{{name}}}' for name in _fields(base.template))}."
        )
    wanted = {
        name: getattr(config, name)
        for name in ("template", "label_words", "answer", "metric", "category", "max_target_tokens")
        if getattr(config, name) is not None
    }
    if "label_words" in wanted and len(wanted["label_words"]) != len(base.label_words):
        raise UsageError(
            f"task.label_words={', '.join(wanted['label_words'])}: {config.name} has {len(base.label_words)} classes "
            f"({', '.join(base.label_words) or 'none'}); give one word for each."
        )
    if wanted.get("answer", base.answer) != base.answer:
        wanted.setdefault("metric", _METRICS[wanted["answer"]])
        wanted.setdefault("max_target_tokens", max(base.max_target_tokens, _TARGET_TOKENS[wanted["answer"]]))
    return replace(base, **wanted) if wanted else base


def _fields(template: str) -> tuple[str, ...]:
    """Return the fields of a template; of one that cannot be read, which is refused elsewhere, its whole text."""
    try:
        return templates.columns(template)
    except ValueError:
        return (template,)


def load(config: TaskConfig) -> Splits:
    """Return the splits of a task of one's own."""
    source = _source(config)
    if not config.data_dir and not config.files:
        raise UsageError(f"task {config.name}: say where its rows are: task.data_dir=FOLDER with train and test files.")
    source.reader.check(config, ("choices",) if _answer(config) == "choice" else ())
    columns = tuple(pair for pair in config.columns or () if not pair.startswith("choices=")) or None
    placed = replace(config, data_dir=config.data_dir or ".", columns=columns)
    try:
        splits = dataset.load(source, placed)
    except FieldAbsent as error:
        if clearer := _without_answers(config, error):
            raise clearer from error
        raise
    if source.reader.label and all(example.label == HIDDEN for rows in splits.tests.values() for example in rows):
        if source.validation == CARVED:
            raise UsageError(f"task {config.name}: its test labels are all {HIDDEN}, hidden, and it has no validation.")
        return dataset.load(replace(source, validation=CARVED, tests={"test": source.validation}), placed)
    return splits


def unread(config: TaskConfig) -> str:
    """Return in words which files of rows in the folder of a task of one's own no split reads; "" for none."""
    if not is_own(config) or config.files or not config.data_dir:
        return ""
    folder = located(config.data_dir)
    names = split_files.others(folder, ("train", "validation", "test"))
    if not names:
        return ""
    listed = f"{', '.join(names[:4])}{' and others' if len(names) > 4 else ''}"
    return (
        f"no split reads {listed} in {folder}. A split's file is called train, validation or test, or task.files names "
        f"it, as in task.files={{train: train.csv, test: {names[0]}}}"
    )


def quoted(config: TaskConfig, splits: Splits) -> str:
    """Return in words how many texts of a task of one's own stand in the quotes of a .tsv; "" for none.

    Programs write such quotes, while published .tsv files have none, so that a quote is a letter there.
    """
    named = [pair.partition("=")[2] for pair in config.files or ()]
    folder = located(config.data_dir or ".")
    names = named or [path.name for path in folder.iterdir()] if is_own(config) and folder.is_dir() else []
    if not any(name.endswith((".tsv", ".tsv.gz")) for name in names):
        return ""
    texts = [text for rows in splits.named().values() for row in rows for text in row.fields.values()]
    count = sum(len(text) > 1 and text.startswith('"') and text.endswith('"') for text in texts)
    if not count:
        return ""
    return (
        f"{count} of {len(texts)} texts stand in quotes, which are read as part of the text: a .tsv is read without "
        "quotes. Where a program put them there, save the rows as .csv or .jsonl"
    )


def _without_answers(config: TaskConfig, error: FieldAbsent) -> UsageError | None:
    """Return what to say where rows lack the texts that are a task's answers; None where they lack another field."""
    answer = dict(pair.split("=", 1) for pair in config.columns or ()).get("target", "target")
    if _answer(config) != "text" or error.field != answer:
        return None
    others = [name for name in error.there if name not in _texts(config)]
    named = f" (it has {', '.join(others[:6])} beside the input)" if others else ""
    return UsageError(
        f"{error.where}: the field {answer!r} is missing, which would hold the answer{named}. Where labels are the "
        "answers, task.label_words=[…] gives a word for each; where another column holds a text or a number to answer, "
        "task.columns={target: COLUMN} names it."
    )


def _source(config: TaskConfig) -> Source:
    given = dict(pair.split("=", 1) for pair in config.files or ())
    folder = located(config.data_dir or ".")
    here = [
        split for split in ("validation", "test") if split in given or (not given and split_files.has(folder, split))
    ]
    named = [split for split in given if split not in ("train", "validation", "test")]
    tests = {split: split for split in (*(split for split in here if split == "test"), *named)}
    if tests:
        return Source(_reader(config), validation="validation" if "validation" in here else CARVED, tests=tests)
    return Source(_reader(config), tests={"test": "validation" if here else CARVED})


def _reader(config: TaskConfig) -> Reader:
    answer, texts = _answer(config), _texts(config)
    columns = dict(pair.split("=", 1) for pair in config.columns or ())
    if answer == "text":
        return Reader(texts, target="target")
    names = config.labels or config.label_words or ()
    if answer == "label":
        return Reader(texts, label="label", names=tuple(names), relabel=True)
    options = tuple(columns.get("choices", "choices").split("+"))
    return Reader(texts, label="label", names=tuple(names), choices=options, relabel=True)


def _answer(config: TaskConfig) -> str:
    columns = dict(pair.split("=", 1) for pair in config.columns or ())
    implied = "choice" if "choices" in columns else "label" if config.label_words else "text"
    return config.answer or implied


def _texts(config: TaskConfig) -> tuple[str, ...]:
    """Return the columns that the template names. Raise UsageError where it is not a template."""
    try:
        names = templates.columns(config.template or "")
    except ValueError as error:
        raise UsageError(f"task.template={shown(config.template)}: {error}. Write {{{{ for a brace.") from error
    if not all(name.strip() for name in names):
        raise UsageError(
            f"task.template={shown(config.template)}: empty braces name no column. Write its name into them, as in "
            "{text}, or {{}} for braces of the text."
        )
    return names
