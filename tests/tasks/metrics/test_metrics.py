"""Metrics agree with scikit-learn, scipy, rouge-score and sacrebleu, or with a second way of counting."""

import itertools
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats
from sklearn import metrics as reference

from tasks.metrics.label_metrics import BY_ROW, METRICS

RANDOM = random.Random(0)
CLASSES = [[RANDOM.randrange(k) for _ in range(60)] for k in (2, 2, 3, 3, 4, 4)]
NUMBERS = [[RANDOM.choice([0.0, 0.5, 1.0, RANDOM.random()]) for _ in range(50)] for _ in range(4)]
WORDS = ["the", "Cat", "a", "sat,", "on", "mat", "dog."]
TEXTS = [[" ".join(RANDOM.choices(WORDS, k=RANDOM.randrange(1, 7))) for _ in range(40)] for _ in range(2)]
ANSWERS = ["the correct answer is answer1", "answer2", "answer5 or answer1", "I think it is Answer3", "no answer0"]
OPTIONS = [[RANDOM.choice(ANSWERS[:3]) for _ in range(40)], [RANDOM.choice(ANSWERS) for _ in range(40)]]
SUMS = [[RANDOM.choice(["#### 1,200", "so 7 - 2 = 5", "#### 5\n", "it is 1200."]) for _ in range(40)] for _ in range(2)]


def _imported(module: str) -> Any:
    """A reference package, skipping the test where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(module)


def _rouge_score(targets: list[str], predictions: list[str]) -> float:
    scorer = _imported("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=False)
    return sum(scorer.score(t, p)["rougeL"].fmeasure for t, p in zip(targets, predictions, strict=True)) / len(targets)


def _sacrebleu(targets: list[str], predictions: list[str]) -> float:
    made = _imported("sacrebleu").corpus_bleu(predictions, [targets])
    return float(made.score) / 100


def _argmax(targets: list[int], predictions: list[int]) -> float:
    return float(reference.accuracy_score(targets, predictions))


def _first_match(targets: list[str], predictions: list[str]) -> float:
    found = [[re.findall("answer[1-5]", text)[:1] for text in texts] for texts in (targets, predictions)]
    return sum(t == p for t, p in zip(*found, strict=True)) / len(targets)


def _last_number(targets: list[str], predictions: list[str]) -> float:
    found = [[re.findall(r"\d+", text.replace(",", ""))[-1] for text in texts] for texts in (targets, predictions)]
    return sum(t == p for t, p in zip(*found, strict=True)) / len(targets)


SECOND_OPINION: dict[str, tuple[list[list[Any]], Callable[..., float]]] = {
    "accuracy": (CLASSES, reference.accuracy_score),
    "f1": (CLASSES[:2], reference.f1_score),
    "macro_f1": (CLASSES, lambda t, p: reference.f1_score(t, p, average="macro")),
    "matthews": (CLASSES, reference.matthews_corrcoef),
    "pearson": (NUMBERS, lambda t, p: stats.pearsonr(t, p).statistic),
    "spearman": (NUMBERS, lambda t, p: stats.spearmanr(t, p).statistic),
    "option_likelihood": (CLASSES, _argmax),
    "exact_match": (TEXTS, lambda t, p: sum(map(_same, t, p)) / len(t)),
    "token_f1": (TEXTS, lambda t, p: sum(map(_shared, t, p)) / len(t)),
    "text_accuracy": (TEXTS, lambda t, p: sum(a.lower() == b.lower() for a, b in zip(t, p, strict=True)) / len(t)),
    "rouge_l": (TEXTS, lambda t, p: sum(map(_subsequence, t, p)) / len(t)),
    "bleu": ([[" ".join(texts[i : i + 4]) for i in range(20)] for texts in TEXTS], _sacrebleu),
    "extracted_accuracy": (OPTIONS[:1] * 2, _first_match),
    "number_accuracy": (SUMS, _last_number),
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
    figures = METRICS[name](targets, targets)
    assert figures.pop("parse_failures", 0.0) == 0.0
    assert 0 < figures.pop("commonest", 1.0) <= 1
    assert figures.pop(name) == pytest.approx(1.0)
    assert all(value == pytest.approx(1.0) for value in figures.values())


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
        from tasks.metrics.evaluate_adapter import Shell

        targets, predictions = SECOND_OPINION[name][0][:2]
        assert Shell(name).compute(references=targets, predictions=predictions) == METRICS[name](targets, predictions)


def test_the_shell_takes_several_references_and_likelihoods() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tasks.metrics.evaluate_adapter import Shell

        assert Shell("exact_match").compute(references=[["a", "b"]], predictions=["b"]) == {"exact_match": 1.0}
        figures = Shell("option_likelihood").compute(references=[1], predictions=[[-2.0, -1.0]])
        assert figures == {"option_likelihood": 1.0}


def test_several_metrics_are_computed_in_one_pass() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tasks.metrics import evaluate_adapter

        names, references, texts = (
            ("token_f1", "rouge_l"),
            [["a cat", "the cat"], ["two dogs"]],
            ["the cat", "two cats"],
        )
        alone = {name: METRICS[name](references, texts)[name] for name in names}
        assert evaluate_adapter.combined(names, references, texts) == alone
        assert alone["rouge_l"] == 0.75


def test_rouge_agrees_with_the_rouge_score_package() -> None:
    for targets, predictions in itertools.permutations(TEXTS, 2):
        assert METRICS["rouge_l"](targets, predictions)["rouge_l"] == pytest.approx(_rouge_score(targets, predictions))


REAL = [
    "The film's \"plot\" is thin; but it cost $1,200.50 in 1999-2001 (a lot!), didn't it?",
    "At 3.5% per year, Smith & Sons' well-known shop/bar grew.",
    "Zürich — the café's naïve résumé: 10,000 people?",
    "the cat sat on the mat with a hat",
]


@pytest.mark.parametrize(
    "others", [[REAL[::-1]], [REAL, REAL[::-1]], [[text[:30] for text in REAL], REAL[1:] + REAL[:1]]]
)
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_bleu_agrees_with_sacrebleu_on_punctuation_and_several_references(others: list[list[str]], cut: int) -> None:
    predictions = [" ".join(text.split()[:cut]) for text in REAL]
    made = _imported("sacrebleu").corpus_bleu(predictions, others).score / 100
    targets = [list(row) for row in zip(*others, strict=True)]
    assert METRICS["bleu"](targets, predictions)["bleu"] == pytest.approx(made, abs=1e-12)


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "text_accuracy", "rouge_l", "bleu"])
def test_any_of_several_targets_is_right(name: str) -> None:
    predictions = ["the black cat sat down"] * 2
    targets = [["a dog was there", "the black cat sat down"], ["the black cat sat down", "no"]]
    assert METRICS[name](targets, predictions)[name] == pytest.approx(1.0)


def test_answers_are_extracted_as_llm_adapters_does() -> None:
    """Their regular expressions: case-sensitive, the first match anywhere, nothing found is wrong."""
    pairs = [
        ("true", "true false"), ("false", "True"), ("solution2", "the correct answer is solution2"), ("ending3", ""),
        ("answer1", "answer10"), ("answer4", "answer6"), ("option1", "option2, option1"),
    ]  # fmt: skip
    figures = METRICS["extracted_accuracy"](*zip(*pairs, strict=True))
    assert figures == {"extracted_accuracy": 3 / 7, "parse_failures": 3 / 7, "commonest": 1 / 7}
    with pytest.raises(ValueError, match="none of LLM-Adapters' answers"):
        METRICS["extracted_accuracy"](["maybe"], ["true"])


def test_numbers_come_as_texts_and_what_is_none_is_counted() -> None:
    figures = METRICS["pearson"](["1.0", "2.0", "3.0", "4.0"], [" 1", "2", "three", "nan"])
    assert figures == {"pearson": METRICS["pearson"]([1, 2, 3, 4], [1, 2, -1, -1])["pearson"], "parse_failures": 0.5}
    assert METRICS["number_accuracy"](["#### 72", "5"], ["he has 70+2 = 72", "none"])["parse_failures"] == 0.5


def test_likelihoods_pass_through() -> None:
    figures = METRICS["option_likelihood"]([1, 0, 2], [[-3.0, -1.0], [-2.0, -0.5], 2])
    assert figures == {"option_likelihood": pytest.approx(2 / 3)}


@pytest.mark.parametrize("name", ["pearson", "spearman", "matthews"])
def test_a_constant_side_is_0_and_a_correlation_stays_within_1(name: str) -> None:
    """A mean can miss its constant by one digit, and texts may hold any number."""
    metric = METRICS[name]
    for value in (x / 5 for x in range(26)):
        for n in (2, 3, 7, 113):
            assert metric([value] * n, [value] * n)[name] == 0
            assert metric([value] * n, [value + 1] * n)[name] == 0
    if name != "matthews":
        assert metric([1e300, 2e300, 3e300], [1e-300, 2e-300, 3e-300])[name] == pytest.approx(1)
        assert metric(["1e308", "-1e308", "1e308"], ["0", "1", "0"])[name] == pytest.approx(-1)
        assert abs(metric([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])[name]) <= 1


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_is_the_mean_of_its_rows_just_where_it_is_called_so(name: str) -> None:
    """On it rests the error of the test rows."""
    sides: dict[str, Any] = {
        "extracted_accuracy": (["solution1", "solution2", "solution2"], ["solution1", "solution1", "none"]),
        "option_likelihood": ([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]),
    }
    texts = (["a cat", "4 dogs", "birds fly south now"], ["a cat", "5 dogs", "birds fly north now"])
    numbers: Any = ([0, 1, 1, 1, 2], [0, 1, 0, 1, 2])
    plain = numbers if name in ("accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman") else texts
    targets, predictions = sides.get(name, plain)
    metric = METRICS[name]
    single = [metric([t], [p])[name] for t, p in zip(targets, predictions, strict=True)]
    whole = metric(targets, predictions)[name]
    assert (whole == pytest.approx(sum(single) / len(single))) == (name in BY_ROW)


@pytest.mark.parametrize("name", ["exact_match", "token_f1"])
@pytest.mark.parametrize(("target", "wrong"), [("A", ""), ("A", ": : ."), ("+", "-"), ("the", "a"), ("?", "!")])
def test_an_answer_of_which_the_normalisation_leaves_nothing_is_itself(name: str, target: str, wrong: str) -> None:
    assert METRICS[name]([target], [target])[name] == 1.0
    assert METRICS[name]([target], [target.lower()])[name] == 1.0
    assert METRICS[name]([target], [wrong])[name] == 0.0
