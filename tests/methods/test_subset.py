"""Which of the backbone's own parameters each method of specification trains."""

from typing import Any

import pytest

from harness.errors import UsageError
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import trainable
from tests.methods.conftest import TOYS, attach, backbone, make


def trained(name: str, key: str, **fields: Any) -> list[str]:
    model = backbone(TOYS[key])
    attach(name, model, **fields)
    return [path for path, _ in trainable(model) if not path.startswith(TOYS[key].heads or "-")]


def test_layer_norm_tuning_is_all_norms_with_their_biases() -> None:
    """2 D for each of embeddings and 2 per block; D where norms have none."""
    assert make("layernorm").closed_form(shape(backbone(TOYS["bert-head"]))) == 2 * 16 * (1 + 2 * 2)
    assert make("layernorm").closed_form(shape(backbone(TOYS["t5"]))) == 16 * (2 * 2 + 1 + 3 * 2 + 1)
    assert all("LayerNorm" in path for path in trained("layernorm", "bert-head"))


@pytest.mark.parametrize(("layers", "blocks"), [(1, ["1"]), (2, ["0", "1"]), (0.5, ["1"]), (0.1, ["1"])])
def test_the_last_layers_are_the_last_to_be_computed(layers: float, blocks: list[str]) -> None:
    names = trained("last_layer", "llama-mha", layers=layers)
    assert sorted({name.split(".")[2] for name in names}) == blocks
    decoder = trained("last_layer", "t5", layers=2)
    assert all(name.startswith("decoder.block.") for name in decoder)


@pytest.mark.parametrize(
    ("layers", "rule"),
    [(0, "a number of blocks"), (1.5, "must be whole"), (3, "this backbone has 2 blocks"), (-1, "a number of")],
)
def test_a_number_of_layers_that_cannot_be(layers: float, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("last_layer", layers=layers).attach(backbone(TOYS["llama-mha"]))


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.4])
def test_selective_stays_within_its_fraction_and_near_it(fraction: float) -> None:
    size = shape(backbone(TOYS["t5"]))
    share = make("selective", fraction=fraction).closed_form(size) / size.parameters
    assert fraction - 0.03 < share <= fraction


def test_selective_draws_from_its_own_seed() -> None:
    draws = [trained("selective", "t5", fraction=0.2, selection_seed=seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_fraction_below_the_smallest_linear_is_refused() -> None:
    with pytest.raises(UsageError, match=r"fraction=0\.0001: the smallest linear is"):
        make("selective", fraction=1e-4).attach(backbone(TOYS["t5"]))
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        make("selective", fraction=0)


def test_half_of_every_category_of_every_block_trains() -> None:
    """2 of q, k, v, o; of three feed-forward matrices one, then two; one of two norms."""
    names = trained("hft", "llama-mha")
    for block, inner in ((0, 1), (1, 2)):
        own = [name for name in names if name.startswith(f"model.layers.{block}.")]
        assert [sum(part in name for name in own) for part in ("self_attn", "mlp", "norm")] == [2, inner, 1]
    assert len(names) == 2 + 2 + 1 + 2 + 2 * 1
