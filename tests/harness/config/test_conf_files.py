"""Every YAML of ours keeps the rules of the house."""

from pathlib import Path

import pytest

from harness import assets
from harness.config import compose, conf_files

FILES = {path.relative_to(assets.conf()).as_posix(): path for path in sorted(assets.conf().rglob("*.yaml"))}
LINES = 15


def test_there_are_files() -> None:
    assert len(FILES) > 200


@pytest.mark.parametrize("name", FILES)
def test_a_yaml_is_short_and_says_what_it_is_and_how_to_run_it(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    head = [line for line in lines if line.startswith("#")]
    assert lines[0] == head[0]
    assert "deltabench" in " ".join(head)


def test_a_yaml_that_is_read_as_it_is_has_the_values_that_hydra_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [(group, name) for group in conf_files.GROUPS for name in conf_files.files(group)]
    monkeypatch.setattr(compose, "_composed", {})
    read = dict(compose.load(wanted))
    monkeypatch.setattr(compose, "_composed", {})
    monkeypatch.setattr(compose, "_complete", lambda path: None)
    assert compose.load(wanted) == read
    assert len(read) > 150


@pytest.mark.parametrize(
    "text", ["defaults: [lora]\nname: a\n", "name: [\n", "- a\n", "name: '${b}'\n", "# @package b\n"]
)
def test_hydra_composes_what_builds_on_other_files_and_reports_errors(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert compose._complete(tmp_path / "a.yaml") is None
