"""Prompt and answer for decoders: label words and choices by their likelihood, free text by generation.

An answer is what follows the prompt after one space (none where the prompt ends in white space), then the end token.
Prompts are padded on the left, answers on the right, and every row counts its own positions from 0, so that neither
padding nor batching changes anything. The loss is the mean cross entropy over the answer's tokens, or with
`recipe.loss_on=all` over the prompt's too (all but its first).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import UsageError
from harness.models.head import Head
from harness.models.text_tokens import IGNORED, Text
from harness.precision import in_precision
from harness.prompt_width import prompt_of
from harness.training.batches import Batch, Encoded, pad
from harness.training.decoding import Prompt, caches, generate
from harness.training.objectives.base import Answers, OptionScores, Predicted, right_answer
from harness.training.objectives.settings import Reading
from tasks.base import Example, Task


def head(labels: int) -> Head:
    """Return the head of a language model."""
    return Head("causal_lm")


NEVER = -1
"""An end token that no model says."""


def make(task: Task, text: Text, reading: Reading) -> "Causal":
    """Return the objective. Raise UsageError for an encoder-decoder and for label words with equal tokens."""
    if text.start is not None:
        raise UsageError("objective causal needs a decoder alone; this model is an encoder-decoder. Take seq2seq.")
    if task.answer == "label":
        end = task.template[-1:]
        pairs = [(f"x{end if end.isspace() else ''}", word) for word in task.label_words]
        text.tell_apart(task.label_words, text.after(pairs), task.max_target_tokens)
    return Causal(task, text, head(0), reading)


@dataclass(frozen=True)
class Causal:
    task: Task
    text: Text
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        task = self.task
        prompts = [task.text(example) for example in examples]
        inputs, truncated = self.text.prompts(prompts, task.max_input_tokens, task.max_target_tokens)
        pairs = [(prompt, task.target(example)) for prompt, example in zip(prompts, examples, strict=True)]
        answers = Answers(task, self.text, self.text.after(pairs), task.max_target_tokens)
        return answers.encoded(inputs, truncated, examples, partial(self._options, prompts))

    def target(self, example: Example) -> Any:
        return right_answer(self.task, example)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch: a scalar, with gradient."""
        total, items = self._cost(model, batch)
        return total / items

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        if batch.options is None:
            return self._generate(model, batch)
        scores = self.option_scores(model, batch)
        sums = scores.sums
        if self.reading.loss_on == "all":
            total, items = self._cost(model, batch)
        else:
            total = -sums.gather(1, batch.need_labels()[:, None]).sum()
            items = int((batch.need_targets() != IGNORED).sum())
        return Predicted(self.reading.choose(sums, batch.options, scores.ends).tolist(), float(total), items)

    @in_precision
    def likelihoods(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return [B, C] log-likelihoods of the options, end tokens included; -inf where a row has fewer."""
        return self.option_scores(model, batch).sums

    @in_precision
    def option_scores(self, model: Any, batch: Batch) -> OptionScores:
        """Return the log-likelihoods of the options. The prompt is read once per row."""
        assert batch.options is not None
        n_rows, n_options, _ = batch.options.shape
        prompt = self._prompt(batch)
        first, cache = prompt.read(model)
        scores = OptionScores(n_rows, n_options, first.device, self.text.eos)
        groups = [(places, places // n_options, options) for places, options in batch.option_groups()]
        for (places, rows, options), own in zip(groups, caches(cache, [rows for _, rows, _ in groups]), strict=True):
            after = Prompt(*(part[rows] for part in prompt))
            scores.put(places, self._after(model, after, first[rows], own, options), options)
        return scores

    def _after(
        self, model: Any, prompt: Prompt, first: torch.Tensor, cache: Any, tokens: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the logits [G, U, V] of the tokens [G, U] after prompts that the model has read.

        first: [G, V] the logits of the first token; cache: of the prompts. The logits come in two parts, those of the
        first token and those of the others.
        """
        fed = tokens[:, :-1]
        if not fed.shape[1]:
            return [first[:, None]]
        return [first[:, None], prompt.go_on(model, self._filled(fed), cache, (fed != IGNORED).long())]

    def _generate(self, model: Any, batch: Batch) -> Predicted:
        """Return texts and their loss. The prompt is read once for both, unless the loss is on its tokens too."""
        prompt, targets = self._prompt(batch), batch.need_targets()
        begun = first, cache = prompt.read(model)
        if self.reading.loss_on == "all":
            total, items = self._cost(model, batch)
        else:
            read = self._after(model, prompt, first, copy.deepcopy(cache), targets)
            total, items = _summed(torch.cat(read, dim=1), targets)
        most, end = self.task.max_target_tokens, self.text.eos
        assert end is not None, "the targets were encoded with it"
        ends = (NEVER,) if self.reading.full_length else tuple(dict.fromkeys((end, *self.text.ends)))
        made = generate(model, prompt, most, ends, self.reading.beams, begun)
        return Predicted([answer.strip() for answer in self.text.decode(made)], float(total), items)

    def _cost(self, model: Any, batch: Batch) -> tuple[torch.Tensor, int]:
        """Return the cross entropy summed over the tokens that the loss is on, and their number.

        The model reads the right answer.
        """
        prompt, targets = self._prompt(batch), batch.need_targets()
        whole = prompt.extended(self._filled(targets), (targets != IGNORED).long())
        if self.reading.loss_on == "all":
            wanted = whole.ids.masked_fill((whole.mask == 0) | (whole.positions == 0), IGNORED)[:, 1:]
        else:
            wanted = targets
        with prompt_of(prompt.ids.shape[1]):
            logits = whole.logits(model, wanted.shape[1])
        return _summed(logits, wanted)

    def _prompt(self, batch: Batch) -> Prompt:
        return Prompt.of(batch.inputs, batch.mask)

    def _filled(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.masked_fill(tokens == IGNORED, self.text.pad)

    def _options(self, prompts: Sequence[str], examples: Sequence[Example]) -> torch.Tensor:
        """Return [N, C, U] the options' tokens, IGNORED where a row has fewer options or an option fewer tokens."""
        texts = [self.task.options(example) for example in examples]
        pairs = [(prompt, option) for prompt, row in zip(prompts, texts, strict=True) for option in row]
        flat = self.text.continuations(pairs, self.task.max_target_tokens)
        width, most = max(map(len, flat)), max(map(len, texts))
        table = torch.full((len(texts), most, width), IGNORED)
        tokens = iter(flat)
        for i, row in enumerate(texts):
            table[i, : len(row)] = pad([next(tokens) for _ in row], IGNORED, width)
        return table


def _summed(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the cross entropy summed over the tokens `wanted` [B, U], and their number, from logits [B, U, V]."""
    total = F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="sum")
    return total, int((wanted != IGNORED).sum())
