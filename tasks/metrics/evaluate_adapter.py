"""Our metrics as `evaluate.Metric` objects, for those who compose with that library. Needs no network.

`evaluate.load` fetches a script from the Hub; these do not.
"""

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


def _features(name: str) -> list[datasets.Features]:
    """Return the metric's input types: numbers (or likelihoods of options), texts (or several right texts a row)."""
    value = datasets.Value(_NUMBERS.get(name, "string"))
    pairs = [(value, value)]
    if name == "option_likelihood":
        pairs.append((datasets.Sequence(datasets.Value("float64")), value))
    elif name not in _NUMBERS:
        pairs.append((value, datasets.Sequence(value)))
    return [datasets.Features({"predictions": given, "references": wanted}) for given, wanted in pairs]
