"""Metrics of free text: pure functions (targets, predictions) -> {figure: value}, in 0..1.

A target is one text, or a list of texts that all count as right: the best of them is taken (SQuAD's rule).
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.errors import shown

Figures = dict[str, float]
Target = str | Sequence[str]
T = TypeVar("T")


def exact_match(targets: Sequence[Target], predictions: Sequence[str]) -> Figures:
    """Return the share of equal texts after SQuAD's normalisation (case, punctuation, articles, spaces)."""
    return {"exact_match": _best(lambda t, p: float(_normal(t) == _normal(p)), targets, predictions)}


def token_f1(targets: Sequence[Target], predictions: Sequence[str]) -> Figures:
    """Return the mean F1 of the words that two texts share (SQuAD), with exact_match beside it; both after
    normalisation.
    """
    shared = _best(lambda t, p: _words_f1(_normal(t), _normal(p)), targets, predictions)
    return {"token_f1": shared, **exact_match(targets, predictions)}


def text_accuracy(targets: Sequence[Target], predictions: Sequence[str]) -> Figures:
    """Return the share of texts equal but for case and outer spaces (CrossFit's ACC)."""
    return {"text_accuracy": _best(lambda t, p: float(_plain(t) == _plain(p)), targets, predictions)}


def rouge_l(targets: Sequence[Target], predictions: Sequence[str]) -> Figures:
    """Return the mean F-measure of the longest common subsequence of words (Lin 2004; beta 1, no stemming)."""
    return {"rouge_l": _best(lambda t, p: _rouge_l(_alphanumeric(t), _alphanumeric(p)), targets, predictions)}


def extracted_accuracy(targets: Sequence[str], predictions: Sequence[str]) -> Figures:
    """Return the share of right answers as LLM-Adapters extracts them: the first match in the text, case-sensitive.

    The target ("solution2", or a sentence that holds it) determines which answers there are; a text without any of them
    is wrong. Two more figures show a collapse: `parse_failures` is the share of such texts, `commonest` the share of
    rows that get the most frequent answer.
    """
    rows = [_extracted(target, prediction) for target, prediction in pairs(targets, predictions)]
    right = _mean([float(wanted == given) for wanted, given in rows])
    counts = Counter(given for _, given in rows if given is not None)
    return {
        "extracted_accuracy": right,
        "parse_failures": _mean([float(given is None) for _, given in rows]),
        "commonest": max(counts.values(), default=0) / max(len(rows), 1),
    }


def number_accuracy(targets: Sequence[str], predictions: Sequence[str]) -> Figures:
    """Return the share of texts whose final number is the target's: the one after "####", else the last (GSM8K).

    `parse_failures`: share of texts without a number.
    """
    rows = [(_final_number(target), _final_number(text)) for target, text in pairs(targets, predictions)]
    right = _mean([float(given is not None and given == wanted) for wanted, given in rows])
    return {"number_accuracy": right, "parse_failures": _mean([float(given is None) for _, given in rows])}


_OPTIONS = {"solution": 2, "ending": 4, "answer": 5, "option": 2}
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in ("true|false", *("|".join(f"{kind}{i + 1}" for i in range(n)) for kind, n in _OPTIONS.items()))
)
"""The answers of LLM-Adapters' commonsense_evaluate.py, by kind."""


def _extracted(target: str, prediction: str) -> tuple[str | None, str | None]:
    """Return the (wanted, given) answer. Raise ValueError for a target that holds none of the known answers."""
    for pattern in _PATTERNS:
        wanted = pattern.search(target)
        if wanted:
            given = pattern.search(prediction)
            return wanted.group(), given.group() if given else None
    raise ValueError(f"{shown(target)} holds none of LLM-Adapters' answers (true, solution1, answer1, …)")


_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


def _final_number(text: str) -> float | None:
    marked = _NUMBER.findall(text.rpartition("####")[2]) if "####" in text else []
    numbers = marked[:1] or _NUMBER.findall(text)[-1:]
    return float(numbers[0].replace(",", "")) if numbers else None


def _best(compare: Callable[[str, str], float], targets: Sequence[Target], predictions: Sequence[str]) -> float:
    """Return the mean over rows of the best agreement with any of a row's targets."""
    return _mean([max(compare(t, p) for t in several(target)) for target, p in pairs(targets, predictions)])


def several(target: Target) -> Sequence[str]:
    """Return the texts that count as right."""
    return (target,) if isinstance(target, str) else target


def pairs(targets: Sequence[T], predictions: Sequence[str]) -> list[tuple[T, str]]:
    """Return (target, prediction) for every row. Raise ValueError without any."""
    if not targets:
        raise ValueError("a metric needs at least one pair")
    return list(zip(targets, predictions, strict=True))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _plain(text: str) -> str:
    return text.strip().lower()


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _normal(text: str) -> list[str]:
    """Return the words after SQuAD's normalisation.

    Where it leaves nothing, as of "A" or "+", the text's own words stay, as SQuAD's script does not have it: there all
    such texts are equal, and equal to none.
    """
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split() or text.lower().split()


def _alphanumeric(text: str) -> list[str]:
    """Return the words as the rouge-score package takes them: lower case, everything but a-z and 0-9 separates."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def _words_f1(target: list[str], prediction: list[str]) -> float:
    if not target or not prediction:
        return float(target == prediction)
    return _f1((Counter(target) & Counter(prediction)).total(), len(target), len(prediction))


def _f1(hits: int, wanted: int, given: int) -> float:
    return 2 * hits / (wanted + given) if wanted + given else 0.0


def _rouge_l(target: list[str], prediction: list[str]) -> float:
    previous = [0] * (len(prediction) + 1)
    for word in target:
        current = [0]
        for j, other in enumerate(prediction):
            current.append(previous[j] + 1 if word == other else max(current[j], previous[j + 1]))
        previous = current
    return _f1(previous[-1], len(target), len(prediction))
