"""Metrics: pure functions (targets, predictions) -> {figure: value}, in 0..1 (correlations: -1..1).

Targets and predictions are two sequences of equal length: class indices, numbers or texts. The figure that a
task reports has the metric's name; others may stand beside it. `evaluate_adapter.py` has
the same functions as `evaluate.Metric`. Metrics of free text are in `text_metrics.py` and `bleu.py`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.metrics import bleu, text_metrics, written_numbers

Figures = dict[str, float]
Metric = Callable[[Sequence[Any], Sequence[Any]], Figures]


def accuracy(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return the share of equal pairs."""
    return {"accuracy": _mean([float(t == p) for t, p in _pairs(targets, predictions)])}


def f1(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return F1 of class 1 (GLUE's MRPC and QQP), with accuracy beside it."""
    return {"f1": _f1(*_confusion(targets, predictions, 1)), **accuracy(targets, predictions)}


def macro_f1(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return the mean of each class' F1, over classes that occur in targets or predictions; classes may be texts."""
    targets = _one_each(targets)
    classes = sorted({answer for pair in _pairs(targets, predictions) for answer in pair})
    return {"macro_f1": _mean([_f1(*_confusion(targets, predictions, c)) for c in classes])}


def matthews(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return the Matthews correlation, several classes included (Gorodkin 2004); 0 where a side has one class only."""
    targets = _one_each(targets)
    pairs = _pairs(targets, predictions)
    n, correct = len(pairs), sum(t == p for t, p in pairs)
    true, guessed = Counter(targets), Counter(predictions)
    covariance = correct * n - sum(true[c] * guessed[c] for c in true)
    spread = (n * n - sum(v * v for v in guessed.values())) * (n * n - sum(v * v for v in true.values()))
    return {"matthews": covariance / math.sqrt(spread) if spread else 0.0}


def pearson(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return the linear correlation; 0 where a side is constant. Numbers may come as texts, see `_numbers`."""
    (xs, _), (ys, unread) = _numbers(targets), _numbers(predictions)
    return {"pearson": _correlation(xs, ys), **unread}


def spearman(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Return the correlation of ranks, ties sharing their mean rank; 0 where a side is constant.

    Numbers may come as texts.
    """
    (xs, _), (ys, unread) = _numbers(targets), _numbers(predictions)
    return {"spearman": _correlation(_ranks(xs), _ranks(ys)), **unread}


def option_likelihood(targets: Sequence[int], predictions: Sequence[Any]) -> Figures:
    """Return the share of rows whose likeliest option is the right one.

    A prediction is the likelihoods of a row's options, or, passed through, the index that an objective chose.
    """
    chosen = [
        prediction if isinstance(prediction, int) else max(range(len(prediction)), key=prediction.__getitem__)
        for prediction in predictions
    ]
    return {"option_likelihood": accuracy(targets, chosen)["accuracy"]}


METRICS: Mapping[str, Metric] = {
    function.__name__: function
    for function in (
        accuracy, f1, macro_f1, matthews, pearson, spearman, option_likelihood, text_metrics.exact_match,
        text_metrics.token_f1, text_metrics.text_accuracy, text_metrics.rouge_l, bleu.bleu,
        text_metrics.extracted_accuracy, text_metrics.number_accuracy,
    )
}  # fmt: skip


BY_ROW = frozenset((
    "accuracy", "option_likelihood", "exact_match", "token_f1", "text_accuracy", "rouge_l", "extracted_accuracy",
    "number_accuracy",
))  # fmt: skip
"""The metrics that are the mean over rows of a figure from 0 to 1: the sampling error of the rows follows from it."""

SIGNED = frozenset(("matthews", "pearson", "spearman"))
"""The metrics from -1 to 1; all others are from 0 to 1."""


def _pairs(targets: Sequence[Any], predictions: Sequence[Any]) -> list[tuple[Any, Any]]:
    if not targets:
        raise ValueError("a metric needs at least one pair")
    return list(zip(targets, predictions, strict=True))


def _one_each(targets: Sequence[Any]) -> list[Any]:
    """Return the first text where a target is a list of texts that all count as right."""
    return [target[0] if isinstance(target, list | tuple) else target for target in targets]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _confusion(targets: Sequence[Any], predictions: Sequence[Any], positive: Any) -> tuple[int, int, int]:
    """Return (hits, targets of the class, predictions of the class)."""
    pairs = _pairs(targets, predictions)
    hits = sum(t == positive and p == positive for t, p in pairs)
    return hits, sum(t == positive for t in targets), sum(p == positive for p in predictions)


def _f1(hits: int, wanted: int, given: int) -> float:
    return 2 * hits / (wanted + given) if wanted + given else 0.0


def _correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the correlation, or 0 where a side is constant by the values themselves.

    A mean may miss their constant by one digit.
    """
    pairs = _pairs(_spread(xs), _spread(ys))
    together = math.fsum(x * y for x, y in pairs)
    width = math.sqrt(math.fsum(x * x for x, _ in pairs)) * math.sqrt(math.fsum(y * y for _, y in pairs))
    return max(-1.0, min(1.0, together / width)) if width > 0 else 0.0


def _spread(values: Sequence[float]) -> list[float]:
    """Return how far each value is from the mean, at a scale at which squares neither overflow nor vanish."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low == high:
        return [0.0] * len(values)
    half = max(abs(low), abs(high))
    scaled = [value / half for value in values]
    mean = _mean(scaled)
    far = [value - mean for value in scaled]
    widest = max(map(abs, far))
    return [value / widest for value in far] if widest else far


UNREAD = -1.0
"""What a text counts as that is no number: T5's convention, below every scale in use."""


def _numbers(values: Sequence[Any]) -> tuple[list[float], Figures]:
    """Return (numbers, for texts also {"parse_failures": share that are none})."""
    values = _one_each(values)
    read = [written_numbers.finite(value) for value in values]
    failures = sum(number is None for number in read) / max(len(read), 1)
    unread = {"parse_failures": failures} if any(isinstance(value, str) for value in values) else {}
    return [UNREAD if number is None else number for number in read], unread


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for i in order[start:end]:
                ranks[i] = (start + end - 1) / 2 + 1
            start = end
    return ranks
