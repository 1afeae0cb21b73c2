"""The README and CONTRIBUTING are short and true: their links, their commands and the method that they add exist."""

import re
import sys
from types import ModuleType

import pytest
from transformers import T5Config, T5ForConditionalGeneration

from harness import assets
from harness.cli import dispatch
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import freeze

PAGES = ("README.md", "CONTRIBUTING.md")


def _text(page: str) -> str:
    return (assets.root() / page).read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len(_text("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s#]*)(?:#([^)]*))?\)", _text(page))
    assert links
    for target, anchor in links:
        assert (assets.root() / (target or page)).is_file()
        assert not anchor or anchor in _anchors(target or page)


def _anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```", _text(page), re.DOTALL | re.MULTILINE))
    verbs = set(re.findall(r"^(?:\w+=\S+ )?deltabench ([a-z]+)", blocks, re.MULTILINE))
    assert verbs
    assert verbs <= set(dispatch.verbs())


def test_the_added_method_trains_what_its_formula_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", _text("README.md"), re.DOTALL)
    assert block
    module = ModuleType("readme_method")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where a dataclass looks for its types
    exec(compile(block[1], "README.md", "exec"), module.__dict__)
    config = T5Config(vocab_size=8, d_model=4, d_kv=2, d_ff=8, num_layers=1, num_heads=2)
    model = T5ForConditionalGeneration(config)
    freeze(model)
    method = module.Gain()
    method.attach(model)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == method.closed_form(shape(model)) > 0
