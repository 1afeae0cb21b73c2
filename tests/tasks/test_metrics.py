"""Metrics agree with scikit-learn and scipy, or with a second way of counting; the evaluate shell adds nothing."""

import itertools
import random
import warnings

import pytest
from scipy import stats
from sklearn import metrics as reference

from tasks.metrics import METRICS

RANDOM = random.Random(0)
CLASSES = [[RANDOM.randrange(k) for _ in range(60)] for k in (2, 2, 3, 3, 4, 4)]
NUMBERS = [[RANDOM.choice([0.0, 0.5, 1.0, RANDOM.random()]) for _ in range(50)] for _ in range(4)]
WORDS = ["the", "Cat", "a", "sat,", "on", "mat", "dog."]
TEXTS = [[" ".join(RANDOM.choices(WORDS, k=RANDOM.randrange(1, 7))) for _ in range(40)] for _ in range(2)]

SECOND_OPINION = {
    "accuracy": (CLASSES, reference.accuracy_score),
    "f1": (CLASSES[:2], reference.f1_score),
    "macro_f1": (CLASSES, lambda t, p: reference.f1_score(t, p, average="macro")),
    "matthews": (CLASSES, reference.matthews_corrcoef),
    "pearson": (NUMBERS, lambda t, p: stats.pearsonr(t, p).statistic),
    "spearman": (NUMBERS, lambda t, p: stats.spearmanr(t, p).statistic),
    "exact_match": (TEXTS, lambda t, p: sum(map(_same, t, p)) / len(t)),
    "token_f1": (TEXTS, lambda t, p: sum(map(_shared, t, p)) / len(t)),
    "rouge_l": (TEXTS, lambda t, p: sum(map(_subsequence, t, p)) / len(t)),
}


def _words(text: str, drop: tuple[str, ...]) -> list[str]:
    plain = "".join(c for c in text.lower() if c.isalnum() or c == " ")
    return [word for word in plain.split() if word not in drop]


def _same(target: str, prediction: str) -> bool:
    return _words(target, ("a", "the")) == _words(prediction, ("a", "the"))


def _shared(target: str, prediction: str) -> float:
    wanted, given = _words(target, ("a", "the")), _words(prediction, ("a", "the"))
    if not wanted or not given:
        return float(wanted == given)
    left = list(wanted)
    hits = sum(word in left and left.remove(word) is None for word in given)
    return 2 * hits / (len(wanted) + len(given))


def _subsequence(target: str, prediction: str) -> float:
    wanted, given = _words(target, ()), _words(prediction, ())
    subsequences = {s for n in range(len(wanted) + 1) for s in itertools.combinations(wanted, n)}
    longest = max(n for n in range(len(given) + 1) if any(s in subsequences for s in itertools.combinations(given, n)))
    return 2 * longest / (len(wanted) + len(given))


def test_every_metric_has_a_second_opinion() -> None:
    assert set(SECOND_OPINION) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_metric_agrees_with_the_second_opinion(name: str) -> None:
    data, opinion = SECOND_OPINION[name]
    for targets, predictions in itertools.permutations(data, 2):
        assert METRICS[name](targets, predictions)[name] == pytest.approx(opinion(targets, predictions), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_agreement_is_one_and_the_figure_has_the_metrics_name(name: str) -> None:
    targets = SECOND_OPINION[name][0][0]
    assert METRICS[name](targets, targets) == {name: pytest.approx(1.0)}


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_score_or_unequal_lengths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least one"):
        METRICS[name]([], [])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        METRICS[name](SECOND_OPINION[name][0][0], SECOND_OPINION[name][0][0][:-1])


@pytest.mark.parametrize("name", ["matthews", "pearson", "spearman"])
def test_a_constant_side_correlates_with_nothing(name: str) -> None:
    assert METRICS[name]([1, 1, 1], [0, 1, 2]) == {name: 0.0}


@pytest.mark.parametrize("name", METRICS)
def test_the_evaluate_shell_computes_the_same_without_a_network(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries it imports
        from tasks.evaluate_shell import Shell

        targets, predictions = SECOND_OPINION[name][0][:2]
        assert Shell(name).compute(references=targets, predictions=predictions) == METRICS[name](targets, predictions)
