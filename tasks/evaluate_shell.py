"""Our metrics as `evaluate.Metric` objects, for those who compose with that library. Needs no network.

`evaluate.load` fetches a script from the Hub; these do not.
"""

from typing import Any

import datasets
import evaluate

from harness.errors import UsageError, near
from tasks.metrics import METRICS

_KINDS = {"accuracy": "int64", "f1": "int64", "macro_f1": "int64", "matthews": "int64"}
_KINDS |= {"pearson": "float64", "spearman": "float64"}


class Shell(evaluate.Metric):
    """One of METRICS: `Shell("rouge_l").compute(references=…, predictions=…)`."""

    def __init__(self, name: str, **options: Any) -> None:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}.{near(name, METRICS)}")
        self._function = METRICS[name]
        self._kind = _KINDS.get(name, "string")
        super().__init__(config_name=name, keep_in_memory=True, **options)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value(self._kind)
        features = datasets.Features({"predictions": value, "references": value})
        text = self._function.__doc__ or ""
        return evaluate.MetricInfo(description=text, citation="", inputs_description=text, features=features)

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return self._function(list(references), list(predictions))
