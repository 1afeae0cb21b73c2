"""Every task has a YAML and every YAML a task; generated ones keep the rules; nothing here imports torch."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from string import Formatter
from types import ModuleType
from typing import Any

import pytest
import yaml

from harness import assets
from harness.config.schema import TaskConfig
from harness.errors import UsageError
from tasks import registry as tasks
from tasks.base import Example, Splits, Task
from tasks.data import checks

YAMLS = sorted((assets.conf() / "task").rglob("*.yaml"))
GENERATED = [name for name, row in tasks.catalogue().items() if "generated" in row.source]


def test_every_yaml_names_a_task_and_every_task_has_a_yaml() -> None:
    """CrossFit's 160 tasks are rows of one published table, found by their names."""
    names = [yaml.safe_load(path.read_text())["name"] for path in YAMLS]
    files = [path.relative_to(assets.conf() / "task").with_suffix("").as_posix() for path in YAMLS]
    assert names
    assert names == files
    known = [name for name in tasks.catalogue() if not name.startswith("crossfit/")]
    assert sorted(names) == sorted([*known, tasks.OWN_NAME]), "the task that a command line describes has no row"


def generated() -> Iterator[Any]:
    """Yield every generated task; of version 2's large ones only the first is made three times in a usual run."""
    first = next(name for name in GENERATED if name.startswith("micro2/"))
    for name in GENERATED:
        usual = name == first or not name.startswith("micro2/")
        yield pytest.param(name, marks=() if usual else pytest.mark.slow)


@pytest.mark.parametrize("name", list(generated()))
def test_generated_splits_are_disjoint_complete_and_reproducible(name: str) -> None:
    task = tasks.load(TaskConfig(name))
    texts = {split: {task.text(row) for row in rows} for split, rows in task.splits.named().items()}
    seen = Counter(text for split in texts.values() for text in split)
    assert seen
    assert max(seen.values()) == 1
    digest = tasks.resolve(TaskConfig(name)).digest
    tasks._read.cache_clear()
    assert tasks.resolve(TaskConfig(name)).digest == digest
    assert tasks.resolve(TaskConfig(name, split_seed=1)).digest != digest


def test_an_unknown_task_names_near_ones() -> None:
    with pytest.raises(UsageError, match=r"no task 'glue/sst'.*glue/sst2"):
        tasks.load(TaskConfig("glue/sst"))


def test_installed_packages_join_but_may_not_claim_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ModuleType("their_suite")
    theirs.TASKS = {"their/task": tasks.find("glue/sst2")}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_suite", theirs)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [EntryPoint("theirs", "their_suite", group)])
    assert "their/task" in tasks.catalogue.__wrapped__()
    theirs.TASKS = {"glue/sst2": tasks.find("glue/sst2")}  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="two suites claim the task 'glue/sst2'"):
        tasks.catalogue.__wrapped__()


def small() -> Task:
    row = Example("0", {"text": "good"}, label=1)
    splits = Splits((row,), (row,), {"test": (row,)})
    return Task("toy", "sentiment", "{text} :", "accuracy", splits, label_words=("bad", "good"))


def told() -> Splits:
    row = Example("0", {"text": "good"}, target="maybe")
    return Splits((row,), (row,), {"test": (row,)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "acuracy"}, "no metric 'acuracy'.*accuracy"),
        ({"answer": "guess"}, "answer 'guess' must be one of"),
        ({"template": "{txt}"}, "lack the template's {txt}.*text"),
        ({"label_words": ("bad",)}, "label 1 is outside"),
        ({"label_words": ()}, "no answers to choose from"),
        ({"answer": "text"}, "no target text"),
        ({"metric": "rouge_l"}, "rouge_l is of texts, and this task's answers are labels"),
        ({"metric": "f1", "answer": "text"}, "f1 is of labels, and this task's are texts"),
        (
            {"metric": "extracted_accuracy", "answer": "text", "splits": told()},
            "row 0, in the train split: extracted_accuracy cannot score",
        ),
        ({"splits": replace(small().splits, validation=())}, "validation split is empty"),
    ],
)
def test_a_task_that_breaks_a_rule_is_refused(change: dict, message: str) -> None:
    checks.check(small())
    with pytest.raises(UsageError, match=message):
        checks.check(replace(small(), **change))


@pytest.mark.parametrize("change", [{"template": "{text}"}, {"label_words": ("awful", "good")}, {"metric": "f1"}])
def test_the_digest_knows_template_words_and_metric(change: dict) -> None:
    assert checks.digest(replace(small(), **change)) != checks.digest(small())


def test_listing_and_loading_import_no_torch() -> None:
    code = (
        "import sys; from tasks import registry as tasks\n"
        "from harness.training.objectives import registry as objectives; from harness.models import weight_files\n"
        "[row.category for row in tasks.catalogue().values()]\n"
        "print({'torch', 'transformers', 'datasets', 'evaluate'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "none"


def test_a_cloze_names_its_fields_and_has_a_word_per_label() -> None:
    clozes = {name: row for name, row in tasks.catalogue().items() if row.cloze}
    assert len(clozes) >= 7
    for name, row in clozes.items():
        words = row.cloze_words or row.label_words
        assert len(words) == len(set(words)) == len(row.label_words), name
        inside = {field for _, field, _, _ in Formatter().parse(row.cloze) if field}
        fields = {field for _, field, _, _ in Formatter().parse(row.template) if field}
        assert inside == {*fields, "mask"}, name
