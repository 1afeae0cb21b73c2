"""Metrics: pure functions (targets, predictions) -> {figure: value}, in 0..1 (correlations: -1..1).

Targets and predictions are two sequences of equal length: class indices, numbers or texts. The figure that a
task reports has the metric's name. `tasks/evaluate_shell.py` offers the same functions as `evaluate.Metric`.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = dict[str, float]
Metric = Callable[[Sequence[Any], Sequence[Any]], Figures]


def accuracy(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Share of equal pairs."""
    return {"accuracy": _mean([float(t == p) for t, p in _pairs(targets, predictions)])}


def f1(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """F1 of class 1 (GLUE's MRPC and QQP)."""
    return {"f1": _f1(*_confusion(targets, predictions, 1))}


def macro_f1(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Mean over classes (those that occur in targets or predictions) of each class' F1."""
    classes = sorted({answer for pair in _pairs(targets, predictions) for answer in pair})
    return {"macro_f1": _mean([_f1(*_confusion(targets, predictions, c)) for c in classes])}


def matthews(targets: Sequence[Any], predictions: Sequence[Any]) -> Figures:
    """Matthews correlation, several classes included (Gorodkin 2004); 0 where a side has one class only."""
    pairs = _pairs(targets, predictions)
    n, correct = len(pairs), sum(t == p for t, p in pairs)
    true, guessed = Counter(targets), Counter(predictions)
    covariance = correct * n - sum(true[c] * guessed[c] for c in true)
    spread = (n * n - sum(v * v for v in guessed.values())) * (n * n - sum(v * v for v in true.values()))
    return {"matthews": covariance / math.sqrt(spread) if spread else 0.0}


def pearson(targets: Sequence[float], predictions: Sequence[float]) -> Figures:
    """Linear correlation; 0 where a side is constant."""
    return {"pearson": _correlation(targets, predictions)}


def spearman(targets: Sequence[float], predictions: Sequence[float]) -> Figures:
    """Correlation of ranks, ties sharing their mean rank; 0 where a side is constant."""
    return {"spearman": _correlation(_ranks(targets), _ranks(predictions))}


def exact_match(targets: Sequence[str], predictions: Sequence[str]) -> Figures:
    """Share of equal texts after SQuAD's normalisation (case, punctuation, articles, spaces)."""
    pairs = _pairs(targets, predictions)
    return {"exact_match": _mean([float(_normal(t) == _normal(p)) for t, p in pairs])}


def token_f1(targets: Sequence[str], predictions: Sequence[str]) -> Figures:
    """Mean F1 of the words that two texts share (SQuAD), after the same normalisation."""
    return {"token_f1": _mean([_words_f1(_normal(t), _normal(p)) for t, p in _pairs(targets, predictions)])}


def rouge_l(targets: Sequence[str], predictions: Sequence[str]) -> Figures:
    """Mean F-measure of the longest common subsequence of words (Lin 2004; beta 1, no stemming)."""
    pairs = _pairs(targets, predictions)
    return {"rouge_l": _mean([_rouge_l(_alphanumeric(t), _alphanumeric(p)) for t, p in pairs])}


METRICS: Mapping[str, Metric] = {
    function.__name__: function
    for function in (accuracy, f1, macro_f1, matthews, pearson, spearman, exact_match, token_f1, rouge_l)
}


def _pairs(targets: Sequence[Any], predictions: Sequence[Any]) -> list[tuple[Any, Any]]:
    if not targets:
        raise ValueError("a metric needs at least one pair")
    return list(zip(targets, predictions, strict=True))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _confusion(targets: Sequence[Any], predictions: Sequence[Any], positive: Any) -> tuple[int, int, int]:
    """(hits, targets of the class, predictions of the class)."""
    pairs = _pairs(targets, predictions)
    hits = sum(t == positive and p == positive for t, p in pairs)
    return hits, sum(t == positive for t in targets), sum(p == positive for p in predictions)


def _f1(hits: int, wanted: int, given: int) -> float:
    return 2 * hits / (wanted + given) if wanted + given else 0.0


def _correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    pairs = _pairs(xs, ys)
    mean_x, mean_y = _mean(xs), _mean(ys)
    together = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs)
    spread = math.fsum((x - mean_x) ** 2 for x in xs) * math.fsum((y - mean_y) ** 2 for y in ys)
    return together / math.sqrt(spread) if spread > 0 else 0.0


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


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _normal(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _alphanumeric(text: str) -> list[str]:
    """Words as the rouge-score package takes them: lower case, everything but a-z and 0-9 separates."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def _words_f1(target: list[str], prediction: list[str]) -> float:
    if not target or not prediction:
        return float(target == prediction)
    shared = sum((Counter(target) & Counter(prediction)).values())
    return _f1(shared, len(target), len(prediction))


def _rouge_l(target: list[str], prediction: list[str]) -> float:
    previous = [0] * (len(prediction) + 1)
    for word in target:
        current = [0]
        for j, other in enumerate(prediction):
            current.append(previous[j] + 1 if word == other else max(current[j], previous[j + 1]))
        previous = current
    return _f1(previous[-1], len(target), len(prediction))
