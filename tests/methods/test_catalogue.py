"""The torch-free page: what there is, and one canonical value per meaning."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import assets
from harness.cli import dispatch
from harness.config import building
from harness.config.schema import MethodConfig, RecipeConfig
from harness.config.values import derive, parse
from harness.errors import UsageError
from methods import registry as methods

FOLDER = assets.conf() / "method"
METHOD_FILES = sorted(
    path for path in Path(methods.__file__).parent.glob("*.py") if path.stem not in ("__init__", "base", "registry")
)
OWN = {key for key, entry in methods.catalogue().items() if entry.module.startswith("methods.")}


def test_every_method_has_its_page_and_every_page_its_method() -> None:
    pages = {path.stem for path in FOLDER.glob("*.yaml")}
    assert pages == OWN
    assert len(pages) >= 7


def test_every_method_is_one_file_of_its_name() -> None:
    """And every file at the top of the package, beside the contract and the registry, is one method."""
    modules = {key: entry.module for key, entry in methods.catalogue().items() if key in OWN}
    assert modules == {key: f"methods.{key.replace('-', '_')}" for key in OWN}
    assert {path.stem for path in METHOD_FILES} == {key.replace("-", "_") for key in OWN}


@pytest.mark.parametrize("path", METHOD_FILES, ids=lambda path: path.stem)
def test_a_method_needs_nothing_of_ours_but_the_contract(path: Path) -> None:
    """What it imports comes from `methods.base`, from the method it derives from, or, if it is made of methods, from
    the registry."""
    imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    modules = {node.module or "" for node in imported}
    ours = {module for module in modules if module.partition(".")[0] in ("harness", "methods", "tasks")}
    files = {f"methods.{other.stem}" for other in METHOD_FILES}
    assert "methods.base" in ours or ours & files
    assert ours <= {"methods", "methods.registry", "methods.base", *files}


def test_a_page_says_the_defaults(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    page = yaml.safe_load(text)
    assert page["name"] == name
    assert text.startswith("#")
    assert f"deltabench run method={name}" in text
    assert methods.resolve(name, page) == methods.resolve(name, {})


def test_the_catalogue_agrees_with_the_classes(name: str) -> None:
    entry = methods.find(name)
    assert entry.doc
    made = methods.make(MethodConfig(name, {}))
    assert type(made).__name__ == entry.class_name
    own = [key for key in entry.fields if key != "budget"]  # of those that have a size, solved before they are made
    assert set(own) == {field.name for field in dataclasses.fields(made)}
    resolved = methods.resolve(name, {})
    assert {key: getattr(made, key) for key in own} == {key: resolved[key] for key in own}


def test_two_files_may_name_a_class_alike() -> None:
    """A method has the fields of the base that its own file has or imports."""
    own = ast.parse("class Base:\n    size: int = 1\nclass One(Base):\n    name: ClassVar[str] = 'one'")
    other = ast.parse("from here.own import Base as Base\nclass Two(Base):\n    name: ClassVar[str] = 'two'")
    third = ast.parse("from .own import Base\nclass Three(Base):\n    pass\nclass Other:\n    pass")
    bases = [
        [base.id for node in methods._qualified(module, tree) for base in node.bases if isinstance(base, ast.Name)]
        for module, tree in (("here.own", own), ("there.other", other), ("here.third", third))
    ]
    assert bases == [["here.own.Base"], ["here.own.Base"], ["here.own.Base"]]


def test_no_torch_at_the_door() -> None:
    code = "import sys; from methods import registry; registry.resolve('lora', {}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"rank": "4"}, {"rank": 4}),
        ({"rank": 4.0}, {"rank": 4}),
        ({"rank": 4}, {"rank": 4, "alpha": 8}),
        ({"alpha": "null"}, {}),
        ({"alpha": "2r"}, {}),
        ({"alpha": "r", "rank": 4}, {"alpha": 4, "rank": 4}),
        ({"alpha": "0.5 * rank", "rank": 4}, {"alpha": 2, "rank": 4}),
        ({"targets": "v,q"}, {"targets": ["q", "v", "q"]}),
        ({"targets": "[q, v]"}, {}),
    ],
)
def test_one_meaning_one_value(given: dict[str, Any], same: dict[str, Any]) -> None:
    assert methods.resolve("lora", given) == methods.resolve("lora", same)


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("lroa", {}, "no method 'lroa'. Did you mean lora"),
        ("lora", {"rnk": 3}, "no field 'rnk'. Did you mean rank"),
        ("none", {"rank": 3}, "no field 'rank'. It has no fields"),
        ("lora", {"rank": "eight"}, "method.rank=eight: it must be a whole number"),
        ("lora", {"rank": 1.5}, "method.rank=1.5: it must be a whole number"),
        ("lora", {"rank": True}, "method.rank=True: it must be a whole number"),
        ("lora", {"rank": None}, "method.rank=null: it needs a value"),
        ("lora", {"alpha": "nan"}, "method.alpha=nan: it must be a number"),
        ("lora", {"targets": []}, "method.targets.*list of names"),
        ("lora", {"targets": 3}, "method.targets.*list of names"),
        ("prefix", {"reparametrize": 2}, "must be true or false"),
        ("prompt", {"init": "vocab"}, "must be one of vocabulary, random, text. Did you mean vocabulary"),
        ("lora", {"rank": 0}, "method.rank=0: the rank must be at least 1"),
        ("lora", {"alpha": "2rr"}, "method.alpha=2rr: it must be a number"),
        ("lora", {"alpha": "3r", "budget": "1%"}, "method.alpha=3r: a budget chooses the rank; give a number, or null"),
        ("lora", {"alpha": -1}, "method.alpha=-1.0: alpha must be above 0"),
        ("adapter", {"bottleneck": 0}, "method.bottleneck=0: .* at least 1"),
        ("prompt", {"length": 0}, "method.length=0: .* at least 1"),
        ("prefix", {"length": -2}, "method.length=-2: .* at least 1"),
        ("prefix", {"attend": ["crossing"]}, "method.attend=.*the attention modules are cross, decoder, encoder"),
        ("prompt", {"init": "text"}, "method.text=None: init=text, and nothing else, needs a text"),
        ("prompt", {"text": "a film"}, "method.text=a film: init=text, and nothing else, needs a text"),
    ],
)
def test_bad_values_are_one_sentence(method: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        methods.make(MethodConfig(method, methods.resolve(method, fields)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("absent", methods.ELSEWHERE)
def test_a_name_that_is_elsewhere_says_where(absent: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings that it names exist."""
    given = ["run", f"method={absent}", "model=micro-t5-nano", "task=micro/sentiment", "seed=0"]
    assert dispatch.main(given) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"deltabench: there is no method {absent!r}: ")
    assert told.count("\n") == 1
    named = dict(word.split("=") for word in re.findall(r"\w+[.\w]*=[\w]+", methods.ELSEWHERE[absent]))
    fields = {key.removeprefix("method."): value for key, value in named.items() if key.startswith("method.")}
    if "method" in named:
        methods.make(MethodConfig(named["method"], methods.resolve(named["method"], fields)))
    recipe = {key.removeprefix("recipe."): value for key, value in named.items() if key.startswith("recipe.")}
    assert building.build(RecipeConfig, recipe, "recipe") is not None
    assert absent not in methods.catalogue()


def test_annotations_and_formulas() -> None:
    assert parse("f", "tuple[str, ...]", ["b", "a", "b"]) == ("b", "a", "b")
    assert parse("f", "str | None", None) is None
    assert [parse("f", "str", one) for one in ("3", 3, True, "null")] == ["3", "3", "true", "null"]
    assert parse("f", "Texts", ["no", True, None, 10]) == ("no", "true", "null", "10")
    assert [parse("f", "int", one) for one in ("010", "1e3", 8.0)] == [10, 1000, 8]
    assert [parse("f", "bool", one) for one in ("yes", "off", True, "False")] == [True, False, True, False]
    assert derive("2 * rank + 1", {"rank": 4}) == 9
    with pytest.raises(UsageError, match="must be text"):
        parse("f", "str", [3])
    for hexadecimal in ("0x10", "1:30"):
        with pytest.raises(UsageError, match="whole number"):
            parse("f", "int", hexadecimal)
    with pytest.raises(ValueError, match="not arithmetic"):
        derive("open('x')", {})
