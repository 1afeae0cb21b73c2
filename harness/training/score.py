"""Answers and scores of a model on a split. Evaluation draws no random number and changes no state."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.training import process_group
from harness.training.batches import Encoded
from harness.training.objectives.base import Objective
from tasks.base import Example, Task
from tasks.metrics.label_metrics import METRICS


@dataclass(frozen=True)
class Split:
    """Rows, their token ids and what to answer."""

    examples: Sequence[Example]
    encoded: Encoded
    targets: Sequence[Any]


@dataclass(frozen=True)
class Scored:
    """The result of one split.

    answers: one for each row. figures: the task's metric, the number of rows `n`, and where answers are classes or
    texts `commonest`, the share of rows that get the most frequent answer (near 1 the model has collapsed). loss: in
    nats, the mean per target token (or per row).
    """

    answers: list[Any]
    figures: dict[str, float]
    loss: float


def prepare(objective: Objective, task: Task) -> dict[str, Split]:
    """Return every split by name, tokenised."""
    return {name: tokenised(objective, rows) for name, rows in task.splits.named().items()}


def tokenised(objective: Objective, rows: Sequence[Example]) -> Split:
    """Return rows as a split of their own."""
    return Split(rows, objective.encode(rows), [list(row.references) or objective.target(row) for row in rows])


def score(model: nn.Module, objective: Objective, split: Split, metric: str, tokens: int) -> Scored:
    """Return the answers in the order of the rows, their score and the mean loss. The model keeps its mode.

    tokens: the most that one forward pass reads, padding included.
    """
    # A model that is spread over processes gathers its tensors here, and trains with them later.
    with torch.inference_mode(process_group.mine().size == 1), torch.no_grad():
        return _score(model, objective, split, metric, tokens)


def _score(model: nn.Module, objective: Objective, split: Split, metric: str, tokens: int) -> Scored:
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    answers: list[Any] = [None] * len(split.examples)
    loss, items = 0.0, 0
    for rows in split.encoded.by_length(tokens):
        predicted = objective.predict(model, split.encoded.batch(rows).to(device))
        for row, answer in zip(rows, predicted.answers, strict=True):
            answers[row] = answer
        loss += predicted.loss
        items += predicted.items
    model.train(was_training)
    answers = _as_targets(objective, split.targets, answers)
    figures = {**_commonest(answers), **METRICS[metric](split.targets, answers), "n": len(answers)}
    return Scored(answers, figures, loss / items)


def _as_targets(objective: Objective, targets: Sequence[Any], answers: Sequence[Any]) -> list[Any]:
    """Return the answers, and where one is what the tokenizer makes of a target, that target.

    A tokenizer of whole words writes "well-known" as "well - known": the tokens are the right ones, and so is the text.
    """
    if not answers or not all(isinstance(answer, str) for answer in answers):
        return list(answers)
    listed = [[target] if isinstance(target, str) else list(target) for target in targets]
    texts = list(dict.fromkeys(text for row in listed for text in row))
    respelt: dict[str, list[str]] = defaultdict(list)
    for text, written in zip(texts, objective.text.written(texts), strict=True):
        if written != text:
            respelt[written].append(text)

    def spelt(answer: str, row: Sequence[str]) -> str:
        """Return the target with the answer's tokens, one of the answer's own row before others."""
        same = respelt.get(answer, ())
        return next((text for text in (answer, *same) if text in row), next(iter(same), answer))

    return list(map(spelt, answers, listed))


def _commonest(answers: Sequence[Any]) -> dict[str, float]:
    """Return the share of the most frequent answer; nothing where an answer is a number or a list of likelihoods."""
    if not answers or not all(isinstance(answer, int | str) for answer in answers):
        return {}
    return {"commonest": max(Counter(answers).values()) / len(answers)}


def facts(task: Task, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return what a reader of the scores has to know about the task."""
    return {
        "metric": task.metric,
        "category": task.category,
        "chance": task.chance,
        "majority": _majority(task, splits),
        "chances": _chances(task, splits),
        "tests": list(task.splits.tests),
        "label_words": list(task.label_words),
    }


def _majority(task: Task, splits: Mapping[str, Split]) -> float | None:
    """Return the first test's score of always answering train's most common label; None where there are no labels."""
    if task.answer != "label":
        return None
    labels = [int(label) for label in splits["train"].targets]
    common = max(range(len(task.label_words)), key=labels.count)
    targets = splits[next(iter(task.splits.tests))].targets
    return METRICS[task.metric](targets, [common] * len(targets))[task.metric]


def _chances(task: Task, splits: Mapping[str, Split]) -> dict[str, float]:
    """Return test -> the score of guessing among its rows' own options, where its rows have some."""
    if task.answer == "label":
        return {}
    named = {name: [len(row.choices) for row in splits[name].examples] for name in task.splits.tests}
    return {name: sum(1 / n for n in sizes) / len(sizes) for name, sizes in named.items() if all(sizes)}
