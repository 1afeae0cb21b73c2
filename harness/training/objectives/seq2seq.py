"""Text to text for encoder-decoders: label words and choices by their likelihood, free text by generation.

The log-likelihood of an option is the sum of its tokens' log-probabilities, the end token included, unless
`task.option_score` states another score. Generation is greedy, or a beam search with `task.beams`. The loss is the mean
cross entropy over target tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from harness.errors import UsageError
from harness.models.head import Head
from harness.models.text_tokens import IGNORED, Text
from harness.precision import in_precision
from harness.training.batches import Batch, Encoded, pad
from harness.training.objectives.base import Answers, OptionScores, Predicted, costs, right_answer
from harness.training.objectives.settings import Reading
from methods.backbone.roles import family, has_family
from tasks.base import Example, Task

SIDE = 64
"""The most tokens of options that are read side by side; attention among them grows with their square."""


def head(labels: int) -> Head:
    """Return the head of an encoder-decoder."""
    return Head("seq2seq_lm")


def make(task: Task, text: Text, reading: Reading) -> "Seq2Seq":
    """Return the objective. Raise UsageError for a decoder alone and for label words with equal tokens."""
    if text.start is None:
        raise UsageError("objective seq2seq needs an encoder-decoder; this model has no decoder start token.")
    made = Seq2Seq(task, text, text.start, head(0), reading)
    if task.answer == "label":
        text.tell_apart(task.label_words, text.answers(task.label_words), made.most)
    return made


@dataclass(frozen=True)
class Seq2Seq:
    task: Task
    text: Text
    start: int
    head: Head
    reading: Reading

    def encode(self, examples: Sequence[Example]) -> Encoded:
        task = self.task
        texts = [task.text(example) for example in examples]
        inputs, truncated = self.text.inputs(texts, task.max_input_tokens, task.keep)
        tokens = self.text.answers([task.target(example) for example in examples])
        return Answers(task, self.text, tokens, self.most).encoded(inputs, truncated, examples, self._options)

    @property
    def most(self) -> int:
        """Return the largest number of tokens of an answer, its end included."""
        return self.text.longest(self.task.max_target_tokens)

    def target(self, example: Example) -> Any:
        return right_answer(self.task, example)

    @in_precision
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the target tokens [B, U]: a scalar, with gradient."""
        return self._loss(model, batch, input_ids=batch.inputs)

    def _loss(self, model: nn.Module, batch: Batch, **source: Any) -> torch.Tensor:
        """Return the loss, a scalar. source: the input ids [B, T], or what the encoder made of them."""
        targets = batch.need_targets()
        shifted = self._shift(targets)
        logits = model(attention_mask=batch.mask, decoder_input_ids=shifted, use_cache=False, **source).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)

    @in_precision
    def predict(self, model: nn.Module, batch: Batch) -> Predicted:
        if batch.options is None:
            return self._generate(model, batch)
        scored = self.option_scores(model, batch)
        scores = scored.sums
        labels, targets = batch.need_labels(), batch.need_targets()
        loss = -scores.gather(1, labels[:, None]).sum()
        answers = self.reading.choose(scores, batch.options, scored.ends)
        return Predicted(answers.tolist(), float(loss), int((targets != IGNORED).sum()))

    @in_precision
    def likelihoods(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return [B, C] log-likelihoods of the options, end tokens included; -inf where a row has fewer."""
        return self.option_scores(model, batch).sums

    @in_precision
    def option_scores(self, model: Any, batch: Batch) -> OptionScores:
        """Return the log-likelihoods of the options. The encoder runs once per row."""
        options = batch.need_options()
        n_rows, n_options, _ = options.shape
        hidden = _encode(model, batch).last_hidden_state
        scores = OptionScores(n_rows, n_options, hidden.device, self.text.eos)
        groups, side = list(batch.option_groups()), batch.side_by_side()
        if _knows_distances(model) and _is_shorter(side, groups):
            there = (options != IGNORED).any(dim=2).flatten().nonzero().flatten()
            by_token = self._side_by_side(model, batch, hidden, side).flatten(0, 1)
            scores.enter(there, by_token[there], options.flatten(0, 1)[there])
            return scores
        for places, tokens in groups:
            rows = places // n_options
            logits = model(
                encoder_outputs=BaseModelOutput(hidden[rows]),
                attention_mask=batch.mask[rows],
                decoder_input_ids=self._shift(tokens),
                use_cache=False,
            ).logits
            scores.put(places, [logits], tokens)
        return scores

    def _side_by_side(self, model: Any, batch: Batch, hidden: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        """Return [B, C, U] the cost in nats of each token of the options, 0 where there is none.

        The decoder reads the options of a row as one text, in which a token sees its own option only. So the keys and
        values of the encoder's states, hidden: [B, T, D], are computed once for all options. side: [B, S], of
        `Batch.side_by_side`.
        """
        options = batch.need_options()
        flat = options.flatten(1)
        shifted = self._shift(options.flatten(0, 1)).view(flat.shape)
        option = side // options.shape[2]
        seen = (option[:, :, None] == option[:, None, :]).tril()
        mask = torch.zeros_like(seen, dtype=hidden.dtype).masked_fill(~seen, torch.finfo(hidden.dtype).min)
        logits = model(
            encoder_outputs=BaseModelOutput(hidden),
            attention_mask=batch.mask,
            decoder_input_ids=shifted.gather(1, side),
            decoder_attention_mask=mask[:, None],
            use_cache=False,
        ).logits
        by_place = costs(logits, flat.gather(1, side))
        return by_place.new_zeros(flat.shape).scatter(1, side, by_place).view(options.shape)

    def _generate(self, model: Any, batch: Batch) -> Predicted:
        items = int((batch.need_targets() != IGNORED).sum())
        encoded = _encode(model, batch)
        loss = float(self._loss(model, batch, encoder_outputs=encoded)) * items
        most = self.most
        more: dict[str, Any] = {"min_new_tokens": most} if self.reading.full_length else {}
        more |= {"eos_token_id": list(self.text.ends)} if len(self.text.ends) > 1 else {}
        made = model.generate(
            encoder_outputs=encoded, attention_mask=batch.mask, max_new_tokens=most,
            do_sample=False, num_beams=self.reading.beams, **more,
        )  # fmt: skip
        return Predicted(self.text.decode(made.tolist()), loss, items)

    def _options(self, examples: Sequence[Example]) -> torch.Tensor:
        """Return the options' tokens [N, C, U], IGNORED where a row has fewer options or an option fewer tokens.

        N is 1 where all rows have the same options.
        """
        task = self.task
        rows = examples if any(example.choices for example in examples) else examples[:1]
        texts = [task.options(example) for example in rows]
        flat = self.text.targets([text for row in texts for text in row], self.most)
        width, most = max(map(len, flat)), max(map(len, texts))
        table = torch.full((len(rows), most, width), IGNORED)
        tokens = iter(flat)
        for i, row in enumerate(texts):
            table[i, : len(row)] = pad([next(tokens) for _ in row], IGNORED, width)
        return table

    def _shift(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the decoder's inputs [B, U]: the start token, then the targets [B, U] but the last."""
        shifted = F.pad(targets[:, :-1], (1, 0), value=self.start)
        return shifted.masked_fill(shifted == IGNORED, self.text.pad)


def _encode(model: Any, batch: Batch) -> BaseModelOutput:
    """Return the encoder's states [B, T, D], as generation gets them.

    A method that lengthens the input lengthens these.
    """
    output: BaseModelOutput = model.get_encoder()(input_ids=batch.inputs, attention_mask=batch.mask, return_dict=True)
    return output


def _knows_distances(model: nn.Module) -> bool:
    """Return whether a text reads the same wherever it stands in a row."""
    return has_family(model) and family(model).distances


def _is_shorter(side: torch.Tensor, groups: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """Return whether options that stand side by side, [B, S], cost less than those in rows of their own.

    A few more tokens of padding cost less than the encoder's keys and values once per option.
    """
    return side.shape[1] <= SIDE and 4 * side.numel() <= 5 * sum(tokens.numel() for _, tokens in groups)
