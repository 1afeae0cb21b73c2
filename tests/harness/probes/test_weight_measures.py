"""Laws of what is measured of weights: magnitude, direction, intruder dimensions."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, GPTNeoXConfig, GPTNeoXForCausalLM

from harness.config.schema import ModelConfig
from harness.probes import _weight_pairs, intruders_down, spectrum, weight_decomposition


def drawn(rows: int = 6, columns: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(size: int) -> torch.Tensor:
    return torch.linalg.qr(drawn(size, size, seed=1))[0]


def test_an_untouched_weight_moved_neither_way() -> None:
    assert weight_decomposition.changes(drawn(), drawn()) == (0.0, 0.0)


def test_longer_rows_change_the_magnitude_alone() -> None:
    lengths = torch.linalg.vector_norm(drawn(), dim=1)
    magnitude, direction = weight_decomposition.changes(drawn(), 1.5 * drawn())
    assert magnitude == pytest.approx(0.5 * float(lengths.mean()))
    assert direction == pytest.approx(0, abs=1e-15)


def test_turned_rows_change_the_direction_alone() -> None:
    magnitude, direction = weight_decomposition.changes(drawn(), drawn() @ rotation(9))
    assert magnitude == pytest.approx(0, abs=1e-14)
    assert direction > 0.1


def test_the_rows_are_what_counts_not_the_columns() -> None:
    """One output feature ten times as long: in the paper's words one column of a [d_in, d_out] matrix."""
    after = drawn()
    after[2] *= 10
    magnitude, direction = weight_decomposition.changes(drawn(), after)
    assert magnitude == pytest.approx(9 * float(drawn()[2].norm()) / 6)
    assert direction == pytest.approx(0, abs=1e-15)


def test_the_measure_agrees_with_the_paper_written_down_in_numpy() -> None:
    before, after = drawn().numpy(), (drawn() + 0.3 * drawn(seed=2)).numpy()
    paper_before, paper_after = before.T, after.T  # [d_in, d_out], columns as in the paper
    m0, m = np.linalg.norm(paper_before, axis=0), np.linalg.norm(paper_after, axis=0)
    cosines = (paper_before * paper_after).sum(axis=0) / (m0 * m)
    expected = np.abs(m - m0).mean(), (1 - cosines).mean()
    assert weight_decomposition.changes(drawn(), torch.from_numpy(after)) == pytest.approx(expected)


def test_rows_without_length_have_no_direction() -> None:
    before, after = drawn(), drawn()
    before[0] = 0
    magnitude, direction = weight_decomposition.changes(before, after)
    assert magnitude == pytest.approx(float(after[0].norm()) / 6)
    assert direction == 0
    assert weight_decomposition.changes(torch.zeros(2, 3), torch.ones(2, 3))[1] == 0


def test_the_same_matrix_has_no_intruder_and_a_planted_spike_is_one() -> None:
    before = drawn(40, 40)
    u = torch.linalg.svd(before)[0]
    assert spectrum.likeness(before, before) == pytest.approx([1.0] * spectrum.TOP)
    nobody = u.sum(dim=1, keepdim=True) / 40**0.5  # as far from every pretrained vector as a direction can be
    spike = before + 100 * nobody @ drawn(1, 40, seed=3)
    found = spectrum.likeness(before, spike)
    assert [value < 0.5 for value in found] == [True, *[False] * 9]
    assert found[0] == pytest.approx(40**-0.5, rel=0.1)
    assert spectrum.likeness(before, 3 * before) == pytest.approx([1.0] * spectrum.TOP)


def test_a_pretrained_matrix_of_zeros_is_left_out(encoder: ModelConfig) -> None:
    plain: Any = AutoModel.from_pretrained(str(encoder.path))
    plain.encoder.layer[0].attention.self.query.weight.data.zero_()
    tuned = copy.deepcopy(plain)
    tuned.encoder.layer[0].attention.self.query.weight.data += 1
    finished: Any = SimpleNamespace(plain=plain, model=tuned, method=SimpleNamespace(merge=lambda _: None))
    found = spectrum.measure(finished, torch.device("cpu"))["matrices"]
    assert [row["layer"] for row in found if row["role"] == "q"] == [1]
    assert all(math.isfinite(value) for row in found for value in (row["change"], *row["likeness"]))


def test_likeness_agrees_with_numpy_whatever_the_shape() -> None:
    for shape in ((5, 30), (30, 5), (12, 12)):
        before, after = drawn(*shape), drawn(*shape) + drawn(*shape, seed=4)
        u0, u = (np.linalg.svd(one.numpy())[0][:, : min(shape)] for one in (before, after))
        expected = [max(abs(float(u[:, j] @ u0[:, i])) for i in range(min(shape))) for j in range(min(10, *shape))]
        assert spectrum.likeness(before, after) == pytest.approx(expected)


def test_weights_are_found_however_a_family_keeps_them(decoder: ModelConfig, encoder: ModelConfig) -> None:
    """Fused, transposed and grouped ones too."""
    for config in (decoder, encoder):
        model = AutoModel.from_pretrained(str(config.path))
        found = list(_weight_pairs.pairs(model, model, ("q", "v", "ffn-gate")))
        for role in ("q", "v"):
            layers = [place.layer for place, *_ in found if place.role == role]
            assert layers == list(range(model.config.num_hidden_layers)), (config.name, role)
        for place, before, after in found:
            assert not place.cross
            assert before.shape[1] == model.config.hidden_size
            assert weight_decomposition.changes(before, after) == (0.0, 0.0)


@torch.no_grad()
def test_one_linear_of_queries_keys_and_values_is_measured_once() -> None:
    """GPT-NeoX keeps them head by head, so that none has rows of its own."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    plain = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=60, **sizes))
    tuned = copy.deepcopy(plain)
    for layer in tuned.gpt_neox.layers:
        layer.attention.query_key_value.weight[:, :3] += 1.0
    finished: Any = SimpleNamespace(plain=plain, model=tuned, method=SimpleNamespace(merge=lambda model: None))
    rows = spectrum.measure(finished, torch.device("cpu"))["matrices"]
    assert [row["role"] for row in rows] == ["qkv"] * 2 + ["o"] * 2 + ["ffn-in"] * 2 + ["ffn-out"] * 2
    assert {row["role"] for row in rows if row["change"] > 0} == {"qkv"}
    assert [place.role for place, *_ in _weight_pairs.pairs(plain, tuned, weight_decomposition.ROLES)] == ["qkv"] * 2
    steps = {"steps": [3], "matrices": [{"role": "qkv", "cross": False, "magnitude": [1.0], "direction": [0.5]}]}
    assert weight_decomposition.describe(steps) == ["qkv, step 3: dM 1, dD 0.5 (mean of 1 matrices)"]
    assert [name for *_, name in intruders_down._intruders(plain, plain)] == []
