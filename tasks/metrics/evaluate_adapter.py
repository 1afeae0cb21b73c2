"""Our metrics as `evaluate.Metric` objects, so that the `evaluate` library combines several. No network is needed.

`evaluate.load` fetches a script from the Hub; these objects do not. The library starts threads when it is imported, so
nothing imports this module before a cell's process has been forked.
"""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from harness.errors import UsageError, near
from tasks.metrics.label_metrics import METRICS

_NUMBERS = {"accuracy": "int64", "f1": "int64", "macro_f1": "int64", "matthews": "int64"}
_NUMBERS |= {"pearson": "float64", "spearman": "float64", "option_likelihood": "int64"}


class Shell(evaluate.Metric):
    """One of METRICS: `Shell("rouge_l").compute(references=…, predictions=…)`."""

    def __init__(self, name: str, **options: Any) -> None:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}.{near(name, METRICS)}")
        self._function = METRICS[name]
        super().__init__(config_name=name, keep_in_memory=True, **options)

    def _info(self) -> evaluate.MetricInfo:
        text = self._function.__doc__ or ""
        name = self._function.__name__
        return evaluate.MetricInfo(description=text, citation="", inputs_description=text, features=_features(name))

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return self._function(list(references), list(predictions))


def combined(names: Sequence[str], references: Sequence[Sequence[str]], predictions: Sequence[str]) -> dict[str, float]:
    """Return metric -> the figure of that name, for several metrics of texts that are computed in one pass.

    references: for each row, the texts that count as right.
    """
    metrics = evaluate.combine({name: Shell(name) for name in names}, force_prefix=True)  # two may report a like figure
    figures = metrics.compute(references=[list(row) for row in references], predictions=list(predictions))
    return {name: figures[f"{name}_{name}"] for name in names}


def _features(name: str) -> list[datasets.Features]:
    """Return the metric's input types: numbers (or likelihoods of options), texts (or several right texts a row)."""
    value = datasets.Value(_NUMBERS.get(name, "string"))
    pairs = [(value, value)]
    if name == "option_likelihood":
        pairs.append((datasets.Sequence(datasets.Value("float64")), value))
    elif name not in _NUMBERS:
        pairs.append((value, datasets.Sequence(value)))
    return [datasets.Features({"predictions": given, "references": wanted}) for given, wanted in pairs]
