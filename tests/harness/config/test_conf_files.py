"""Every YAML of ours keeps the rules of the house."""

import pytest

from harness import assets

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
