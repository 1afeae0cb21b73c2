"""Keys: golden ones, one per computation, and the way to JSON and back."""

import dataclasses
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import assets
from harness.config import schema
from harness.config.schema import KINDS, Cell, MethodConfig, ModelConfig, RecipeConfig, Runtime, TaskConfig
from harness.errors import UsageError
from harness.store import identity as cells
from methods import registry as methods

CONFIGS = (MethodConfig, ModelConfig, TaskConfig, RecipeConfig, Cell, Runtime)
PLAIN = '{"method":{"fields":{"rank":4,"targets":["q","v"]},"name":"good"},"model":{"family":"stub","revision":"r1"},"objective":"seq2seq","recipe":{},"task":{"digest":"d1","name":"stub"},"version":1}'  # noqa: E501
GOLDEN = {
    "plain": "e6567276",
    "seed": "3bff9434",
    "rate": "a99e4830",
    "size": "b07c154b",
}


def variants(cell: Cell) -> dict[str, Cell]:
    return {
        "plain": cell,
        "seed": replace(cell, seed=3),
        "rate": replace(cell, recipe=replace(cell.recipe, learning_rate=3e-4)),
        "size": replace(cell, task=replace(cell.task, train_size=64)),
    }


def test_keys_are_golden(cell: Callable[..., Cell]) -> None:
    """A key that changes here orphans every record: raise IDENTITY_VERSION when that is meant."""
    assert cells.canonical(cell()) == PLAIN
    assert {name: cells.key(one)[:8] for name, one in variants(cell()).items()} == GOLDEN


def test_every_field_has_a_kind() -> None:
    unclassified = [
        f"{kind.__name__}.{field.name}"
        for kind in CONFIGS
        for field in dataclasses.fields(kind)
        if field.metadata.get("kind") not in KINDS
    ]
    assert unclassified == []


def test_every_configuration_is_under_that_test() -> None:
    found = {one for one in vars(schema).values() if dataclasses.is_dataclass(one)}
    assert found == set(CONFIGS)


def test_only_identity_fields_change_the_key(cell: Callable[..., Cell]) -> None:
    """Each field of each part, changed: the key changes with identity fields and with no other."""
    base = cell()
    for part in ("model", "task", "recipe"):
        config = getattr(base, part)
        for field in dataclasses.fields(config):
            other = replace(base, **{part: replace(config, **{field.name: "another"})})
            changed = cells.key(other) != cells.key(base)
            assert changed == (field.metadata["kind"] == "identity"), f"{part}.{field.name}"


def test_every_identity_field_of_the_cell_itself_counts(cell: Callable[..., Cell]) -> None:
    base = cell()
    others = [
        replace(base, objective="masked"),
        replace(base, seed=1),
        replace(base, parents=(("start", "a" * 64),)),
        replace(base, method=replace(base.method, fields={**base.method.fields, "rank": 5})),
        replace(base, method=replace(base.method, name="nap")),
    ]
    assert len({cells.key(one) for one in [base, *others]}) == len(others) + 1


def test_two_models_never_share_a_key(cell: Callable[..., Cell]) -> None:
    """Same name, other weights or another family: another cell. Another name for the same weights: the same."""
    base = cell()
    models = [replace(base.model, revision="r2"), replace(base.model, family="other")]
    keys = {cells.key(replace(base, model=model)) for model in [base.model, *models]}
    assert len(keys) == 3
    assert cells.key(replace(base, model=replace(base.model, name="alias"))) == cells.key(base)


def test_one_and_one_point_zero_are_one_cell(cell: Callable[..., Cell]) -> None:
    base = cell()
    same = replace(base, method=replace(base.method, fields={"rank": 4.0, "targets": ["q", "v"]}))
    assert cells.key(same) == cells.key(base)
    true = replace(base, method=replace(base.method, fields={"rank": True, "targets": ("q", "v")}))
    one = replace(base, method=replace(base.method, fields={"rank": 1, "targets": ("q", "v")}))
    assert cells.key(true) != cells.key(one)


def test_defaults_are_omitted(cell: Callable[..., Cell]) -> None:
    """So that a new field with a default re-keys nothing."""
    identity = json.loads(cells.canonical(cell()))
    assert identity["recipe"] == {}
    assert "seed" not in identity
    assert "train_size" not in identity["task"]


def test_method_fields_at_their_declared_default_are_omitted(cell: Callable[..., Cell]) -> None:
    """For every method there is: adding a field with a default to its dataclass leaves its keys as they are."""
    checked = 0
    for name in methods.catalogue():
        required = {f: 3 for f, spec in methods.find(name).fields.items() if spec.default is methods.REQUIRED}
        fields = methods.resolve(name, required)
        kept = json.loads(cells.canonical(replace(cell(), method=MethodConfig(name, fields))))["method"]["fields"]
        for field, spec in methods.find(name).fields.items():
            if spec.default is not methods.REQUIRED and fields[field] == spec.default:
                assert field not in kept, f"{name}.{field}"
                checked += 1
    assert checked > 0


def test_declared_defaults_stand() -> None:
    """A default that changes here changes what every key means: raise IDENTITY_VERSION when that is meant."""
    golden = json.loads((Path(__file__).parent / "golden_defaults.json").read_text())
    assert golden.pop("version") == cells.IDENTITY_VERSION
    now = {
        f"{kind.__name__}.{field.name}": field.default
        for kind in CONFIGS
        for field in dataclasses.fields(kind)
        if field.metadata["kind"] == "identity" and field.default is not dataclasses.MISSING
    }
    assert {name: value for name, value in now.items() if name in golden} == golden, "a default changed or went"


REFERENCE = sorted(assets.reference().glob("*/records.jsonl.gz"))


@pytest.mark.skipif(not REFERENCE, reason="no reference run is here yet")
@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_keys_of_reference_records_stand(path: Path) -> None:
    """Their data digests are as they were recorded, so this holds whatever machine it runs on."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line)["record"] for line in lines]
    assert records
    assert [cells.key(cells.from_json(record["cell"])) for record in records] == [record["key"] for record in records]


def test_to_json_and_back(cell: Callable[..., Cell]) -> None:
    for one in variants(cell()).values():
        content = json.loads(json.dumps(cells.to_json(one)))
        assert cells.from_json(content) == one
        assert cells.key(cells.from_json(content)) == cells.key(one)


def test_a_field_of_an_earlier_version_that_changed_no_result_is_left_out(cell: Callable[..., Cell]) -> None:
    content = cells.to_json(cell())
    content["recipe"]["evaluation_batch_size"] = 64
    assert cells.from_json(content) == cell()
    content["recipe"]["evaluation_batch"] = 64
    with pytest.raises(UsageError, match="has no field 'evaluation_batch'"):
        cells.from_json(content)


def test_json_of_a_cell_belongs_to_its_caller(cell: Callable[..., Cell]) -> None:
    one = cell()
    first = cells.to_json(one)
    wanted = json.dumps(first)
    first["recipe"]["steps"], first["task"]["name"] = -1, "another"
    assert json.dumps(cells.to_json(one)) == wanted
    assert "path" not in cells.to_json(one, ("identity",))["model"]


def test_runtime_fields_can_be_left_out(cell: Callable[..., Cell]) -> None:
    content = cells.to_json(cell(), kinds=("identity", "provenance"))
    assert "data_dir" not in content["task"]
    assert cells.key(cells.from_json(content)) == cells.key(cell())


@pytest.mark.parametrize(
    "broken",
    [{}, {"method": {}}, {"method": 3}, {"recipe": {"color": 1}}, {"recipe": {"steps": "many"}}, {"seed": "x"}],
)
def test_what_is_not_a_cell_is_refused(cell: Callable[..., Cell], broken: dict[str, object]) -> None:
    content = {**cells.to_json(cell()), **broken} if broken else {}
    with pytest.raises(UsageError):
        cells.from_json(content)
