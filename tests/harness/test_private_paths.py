"""What is passed on names no place of this machine."""

from pathlib import Path

import pytest

from harness import private_paths

CASES = {
    'File "/srv/alice/projects/run.py", line 3': 'File "…/run.py", line 3',
    "no /srv/alice/projects/model there": "no …/model there",
    "PATH=/srv/alice/bin/x:/srv/alice/lib/y": "PATH=…/x:…/y",
    "file:///srv/alice/a.txt": "…/a.txt",
    "~alice/work/a.txt": "…/a.txt",
    "C:\\Users\\alice\\a.txt": "…/a.txt",
    "micro/sentiment on a/b/c": "micro/sentiment on a/b/c",
    "https://host/a/b/c": "https://host/a/b/c",
    "3 / 4 and 1/2": "3 / 4 and 1/2",
}


@pytest.mark.parametrize("text", CASES)
def test_paths_keep_their_last_name(text: str) -> None:
    assert private_paths.hidden({"a": [text]}) == {"a": [CASES[text]]}


def test_home_and_known_places_are_hidden_whatever_they_look_like() -> None:
    told = private_paths.hidden(f"{Path.home()}/x and /srv/my data #1/rows.csv", ["/srv/my data #1"])
    assert "my data #1/rows.csv" in told
    assert "/srv" not in told


def test_a_command_asks_its_reader_for_places() -> None:
    text = "deltabench run model=auto 'model.path=/srv/a b' model.tokenizer=bytes task.data_dir=/srv/x seed=0"
    assert private_paths.command(text) == (
        "deltabench run model=auto model.path=FOLDER model.tokenizer=bytes task.data_dir=FOLDER seed=0"
    )
    text = "deltabench run model.source=folder model.location=/srv/a seed=0"
    assert private_paths.command(text) == text.replace("/srv/a", "FOLDER")
    text = "deltabench run model.source=hub model.location=owner/name seed=0"
    assert private_paths.command(text) == text
