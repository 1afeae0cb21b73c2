"""Corpus BLEU as sacrebleu computes it, without that package: tested against it."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from tasks.metrics.text_metrics import Figures, Target, pairs, several


def bleu(targets: Sequence[Target], predictions: Sequence[str]) -> Figures:
    """Return corpus BLEU-4 (Papineni et al. 2002) as sacrebleu computes it: 13a tokens, exponential smoothing; 0..1."""
    hits, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for target, prediction in pairs(targets, predictions):
        words, references = _tokens_13a(prediction), [_tokens_13a(text) for text in several(target)]
        length += len(words)
        wanted += min((abs(len(words) - len(reference)), len(reference)) for reference in references)[1]
        for n in range(4):
            given = _grams(words, n + 1)
            most: Counter[tuple[str, ...]] = Counter()
            for reference in references:
                most |= _grams(reference, n + 1)
            hits[n] += (given & most).total()
            totals[n] += given.total()
    return {"bleu": _bleu(hits, totals, length, wanted)}


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _bleu(hits: Sequence[int], totals: Sequence[int], length: int, wanted: int) -> float:
    """Return the geometric mean of the four precisions times the brevity penalty; an empty precision is halved anew
    each time.
    """
    if not any(hits) or not all(totals):
        return 0.0
    logs, halved = 0.0, 1.0
    for hit, total in zip(hits, totals, strict=True):
        halved = halved if hit else halved / 2
        logs += math.log((hit or halved) / total)
    return math.exp(logs / 4 + min(0.0, 1 - wanted / length))


_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_SPLITS = (  # of mteval-v13a, in its order
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def _tokens_13a(text: str) -> list[str]:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, letter in _ENTITIES:
        text = text.replace(entity, letter)
    text = f" {text} "
    for pattern, spaced in _SPLITS:
        text = pattern.sub(spaced, text)
    return text.split()
