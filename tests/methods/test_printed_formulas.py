"""The closed forms against the table of formulas that the field quotes, with what that table leaves out."""

import csv
from collections.abc import Mapping
from typing import Any

from harness import assets
from harness.config.values import derive
from methods.backbone.sizes import Shape
from tests.methods.conftest import make

L, D, F, M, N = 24, 1024, 4096, 64, 4  # RoBERTa-large; M: bottleneck, rank or width of the MLP
LARGE = Shape(D, F, D, D, 16, encoder=L, decoder=0, gated=False, norms=2 * L + 1, parameters=0, biases_outside=0)
BIASES = L * 2 * (M + D)  # of two adapters in every block
ROWS: Mapping[str, tuple[str, Mapping[str, Any], int]] = {
    # method of the table: (name, fields, what the printed formula leaves out)
    "sequential adapter (Houlsby)": ("adapter", {"bottleneck": M}, BIASES),
    "compacter": ("compacter", {"bottleneck": M, "division": N}, BIASES + N**3),
    "adapterdrop": ("adapterdrop", {"bottleneck": M, "drop": N}, (L - N) * 2 * (M + D)),
    "parallel adapter": ("parallel", {"bottleneck": M}, BIASES),
    "adapterbias": ("adapterbias", {}, 0),
    "prefix-tuning (MLP reparam)": ("prefix", {"length": N, "reparametrize": True, "hidden": M}, M + L * 2 * D),
    "lora": ("lora", {"rank": M, "targets": ["k", "v"]}, 0),
    "bitfit": ("bitfit", {}, D),  # the norm of the embeddings
}


def printed() -> dict[str, str]:
    text = (assets.published() / "param_formulas_delta_tuning.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {row["method"]: row["formula_in_paper_table"] for row in csv.DictReader(lines)}


def test_every_printed_formula_is_ours_but_for_what_it_leaves_out() -> None:
    formulas = printed()
    assert formulas.keys() == ROWS.keys()
    for method, formula in formulas.items():
        name, fields, missing = ROWS[method]
        symbols = {"L": L, "d_h": D, "d_m": F if name == "bitfit" else M, "n": N}
        expected = derive(formula.replace("d_m^2", "d_m*d_m"), symbols) + missing
        assert make(name, **fields).closed_form(LARGE) == expected, method


def count(name: str, **fields: Any) -> int:
    return make(name, **fields).closed_form(LARGE)


def test_the_notes_to_the_table() -> None:
    """Its general forms: Compacter of rank r, LoRA's usual targets under grouped queries, a stored prefix."""
    assert count("compacter", bottleneck=M, division=N, rank=3) == L * 2 * 2 * 3 * (D + M) + BIASES + N**3
    assert count("prefix", length=N) == L * 2 * N * D
    assert count("adapter", bottleneck=M) == 6_343_680  # the combination study's 1.754 %
    assert count("parallel", bottleneck=M, beside="ffn") * 2 == count("parallel", bottleneck=M)
    grouped = Shape(D, F, D, 256, 4, encoder=L, decoder=0, gated=True, norms=2 * L + 1, parameters=0, biases_outside=0)
    assert make("lora", rank=8).closed_form(grouped) == L * 8 * (2 * D + D + 256)
