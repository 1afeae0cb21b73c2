"""What each row contributes to a metric, and the same as a short text."""

import pytest

from tasks.metrics import row_figures
from tasks.metrics.label_metrics import BY_ROW, METRICS

TEXTS = ["a red car", "two", "", "a car"], ["a car", "two", "x", "a red car"]
LABELS = [0, 1, 1, 2], [0, 1, 0, 1]
ANSWERS = ["answer1", "answer2", "answer1", "answer3"], ["it is answer1", "answer1", "none", "answer3"]


@pytest.mark.parametrize("metric", sorted(BY_ROW))
def test_their_mean_is_the_metric(metric: str) -> None:
    pairs = {"accuracy": LABELS, "option_likelihood": LABELS, "extracted_accuracy": ANSWERS}.get(metric, TEXTS)
    figures = row_figures.of_rows(metric, *pairs)
    assert len(figures) == 4
    assert sum(figures) / 4 == pytest.approx(METRICS[metric](*pairs)[metric])


def test_other_metrics_have_none() -> None:
    assert row_figures.of_rows("matthews", *LABELS) == []
    assert row_figures.of_lines("f1", [{"nothing": "is read"}], ["test"]) == {}


def test_packed_and_unpacked_they_are_the_same() -> None:
    figures = [0.0, 1.0, 1.0, 0.2] * 600
    text = row_figures.pack(figures)
    assert len(text) < 200
    assert list(row_figures.unpack(text)) == [0, 255, 255, 51] * 600
    for other in ("x", "eA==", "é"):
        with pytest.raises(ValueError, match=r".+"):
            row_figures.unpack(other)


def test_only_the_sets_that_are_asked_for_are_packed() -> None:
    line = {"checkpoint": "best", "target": 1, "prediction": 1}
    lines = [{**line, "set": name} for name in ("test", "validation", "test")]
    assert {
        name: list(row_figures.unpack(text))
        for name, text in row_figures.of_lines("accuracy", lines, ["test"])["best"].items()
    } == {"test": [255, 255]}
    with pytest.raises(KeyError):
        row_figures.of_lines("accuracy", [{"set": "test"}], ["test"])
