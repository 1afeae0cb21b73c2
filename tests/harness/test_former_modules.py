"""A plug-in that was written before modules moved gets one sentence with the new name."""

import importlib.util
import re
from pathlib import Path

import pytest

from harness import assets
from harness.errors import UsageError
from harness.former_modules import NEW_NAMES, import_plugin
from methods import base


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("from methods.insertion import insert", "methods.base"),
        ("import methods.subset", "methods.layernorm"),
        ("from methods import catalogue", "methods.registry"),
        ("from harness.config import TaskConfig", "harness.config.schema"),
        ("from tasks.metrics import METRICS", "tasks.metrics.label_metrics"),
        ("from tasks.data import hub", "tasks.data.hub_rows"),
        ("from methods.backbone.delta import Delta", "methods.base"),
        ("from harness.experiments import grid", "harness.experiments.grids.grid"),
    ],
)
def test_a_former_name_is_answered_with_the_new_one(
    line: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = f"plugin_{abs(hash(line))}"
    (tmp_path / f"{plugin}.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=rf"{plugin} imports from .* which has moved: import from {new}") as caught:
        import_plugin(plugin)
    assert "\n" not in str(caught.value)


def test_any_other_failed_import_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_a_stranger.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        import_plugin("plugin_of_a_stranger")


def test_the_new_names_exist_and_the_contract_has_what_lay_in_the_old_ones() -> None:
    new = {name for text in NEW_NAMES.values() for name in text.replace(" and ", ", ").split(", ")}
    assert [name for name in sorted(new) if importlib.util.find_spec(name) is None] == []
    packages = {"harness.config", "methods", "tasks", "tasks.metrics"}
    files = {name for name in NEW_NAMES if (assets.root() / name.replace(".", "/")).with_suffix(".py").exists()}
    assert files == set()
    assert {name for name in NEW_NAMES if (assets.root() / name.replace(".", "/")).is_dir()} == packages
    assert {"insert", "Delta", "overlay", "find", "linears", "Part", "Shape", "quantise", "Names"} <= {*base.__all__}


def test_every_module_that_a_text_tells_to_run_exists() -> None:
    """In code, help, errors, tests and pages: `python -m NAME` with a NAME of ours."""
    root = Path(__file__).parents[2]
    texts = [path for ending in ("*.py", "*.md", "*.yaml", "Makefile") for path in root.glob(f"*/**/{ending}")]
    written = re.compile(r"python3? -m ((?:harness|methods|tasks|tests)(?:\.\w+)+)")
    named = {
        name
        for path in [*texts, *root.glob("*.md"), root / "Makefile"]
        if ".venv" not in path.parts
        for name in written.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    places = {name: root.joinpath(*name.split(".")) for name in named}
    assert [name for name, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
