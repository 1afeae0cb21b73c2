"""Reading a batch of prompts with a decoder and writing on, with its cache; greedily or with beams.

Written here because a method may hold positions of its own in the cache (a soft prompt), which the loop of
transformers would take for text.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch


class Prompt(NamedTuple):
    """ids, mask, positions: [B, T]; padding stands on the left, and positions count a row's own tokens from 0."""

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, ids: torch.Tensor, mask: torch.Tensor) -> "Prompt":
        """Return the prompt for rows that are padded on the right: ids, mask: [B, T]."""
        width = ids.shape[1]
        shift = width - mask.sum(dim=1, keepdim=True)
        index = (torch.arange(width, device=ids.device) - shift) % width
        return cls._numbered(ids.gather(1, index), mask.gather(1, index))

    @classmethod
    def _numbered(cls, ids: torch.Tensor, mask: torch.Tensor) -> "Prompt":
        return cls(ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0))

    def extended(self, ids: torch.Tensor, mask: torch.Tensor) -> "Prompt":
        """Return the prompt with further tokens after it: ids, mask: [B, U]."""
        return self._numbered(torch.cat((self.ids, ids), dim=1), torch.cat((self.mask, mask), dim=1))

    def logits(self, model: Any, last: int) -> torch.Tensor:
        """Return [B, last, V] logits of the last tokens, each read at the position before it, without a cache."""
        output = model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.positions, use_cache=False,
            logits_to_keep=self._before(last),
        )  # fmt: skip
        logits: torch.Tensor = output.logits
        return logits

    def read(self, model: Any) -> tuple[torch.Tensor, Any]:
        """Return ([B, V] logits of the next token, the cache)."""
        output = model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.positions, use_cache=True,
            logits_to_keep=self._before(1) + 1,
        )  # fmt: skip
        return output.logits[:, -1], output.past_key_values

    def _before(self, last: int) -> torch.Tensor:
        """Return [last] the positions before each of the last tokens.

        They are an index and not a count: for a count, transformers takes a slice, whose rows do not lie together, and
        torch multiplies each row of the batch with a frozen head by itself.
        """
        width = self.ids.shape[1]
        return torch.arange(width - last - 1, width - 1, device=self.ids.device)

    def go_on(self, model: Any, ids: torch.Tensor, cache: Any, mask: torch.Tensor) -> torch.Tensor:
        """Return [B, U, V] logits after [B, U] more tokens, with a cache of the prompt."""
        longer = self.extended(ids, mask)
        output = model(
            input_ids=ids, attention_mask=longer.mask, position_ids=longer.positions[:, -ids.shape[1] :],
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        logits: torch.Tensor = output.logits
        return logits


def caches(cache: Any, groups: Sequence[torch.Tensor]) -> Iterator[Any]:
    """Yield, for each group of rows [G], a cache of those rows alone. The last is the given one, which is changed."""
    for number, rows in enumerate(groups, start=1):
        own = cache if number == len(groups) else copy.deepcopy(cache)
        own.batch_select_indices(rows)
        yield own


def generate(
    model: Any, prompt: Prompt, most: int, ends: Sequence[int], beams: int = 1,
    begun: tuple[torch.Tensor, Any] | None = None,
) -> list[list[int]]:  # fmt: skip
    """Return one list of at most `most` tokens for each prompt: greedily the likeliest next token, or the best of
    `beams` (see `beam_search`).

    ends: tokens that end a text. A list stops at the first of them. It leaves out ends[0], which ends the answers of
    training, and includes any other.
    begun: what `prompt.read` returned, where the prompt has been read already. Its cache is changed.
    """
    begun = begun or prompt.read(model)
    if beams > 1:
        return beam_search(model, prompt, most, ends, beams, begun)
    logits, cache = begun
    made: list[torch.Tensor] = []
    last = torch.tensor(ends, device=logits.device)
    done = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    while True:
        token = logits.argmax(dim=-1).masked_fill(done, ends[0])
        made.append(token)
        done |= torch.isin(token, last)
        if len(made) == most or bool(done.all()):
            return [_until(row, ends) for row in torch.stack(made, dim=1).tolist()]
        logits = prompt.go_on(model, token[:, None], cache, torch.ones_like(token)[:, None])[:, -1]
        prompt = prompt.extended(token[:, None], torch.ones_like(token)[:, None])


def beam_search(
    model: Any, prompt: Prompt, most: int, ends: Sequence[int], beams: int, begun: tuple[torch.Tensor, Any]
) -> list[list[int]]:
    """Return the answers of transformers' default beam search. A finished answer scores its mean log-probability, the
    end token counted. The search ends where no unfinished answer can still be better than the `beams` best, or at
    `most` tokens.
    """
    n_rows = len(prompt.ids)
    logits, cache = begun
    cache.batch_repeat_interleave(beams)
    prompt = Prompt(*(part.repeat_interleave(beams, dim=0) for part in prompt))
    logits = logits.repeat_interleave(beams, dim=0)
    vocabulary = logits.shape[-1]
    scores = torch.full((n_rows, beams), -torch.inf, device=logits.device)
    scores[:, 0] = 0.0  # all beams of a row are the same yet
    texts: list[list[list[int]]] = [[[] for _ in range(beams)] for _ in range(n_rows)]
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(n_rows)]
    closed = [False] * n_rows
    for length in range(1, most + 1):
        steps = torch.log_softmax(logits.float(), dim=-1).view(n_rows, beams, vocabulary)
        candidates = (scores[:, :, None] + steps).flatten(1).topk((1 + len(ends)) * beams, dim=1)
        live: list[list[tuple[float, int, int]]] = []  # (score, beam it comes from, token)
        for row, (values, places) in enumerate(
            zip(candidates.values.tolist(), candidates.indices.tolist(), strict=True)
        ):
            ranked = [(value, *divmod(place, vocabulary)) for value, place in zip(values, places, strict=True)]
            live.append([beam for beam in ranked if beam[2] not in ends][:beams])
            if not closed[row]:
                ended = [
                    (value / length, _until([*texts[row][beam], token], ends))
                    for value, beam, token in ranked[:beams] if token in ends
                ]  # fmt: skip
                finished[row] = sorted([*finished[row], *ended], key=lambda beam: -beam[0])[:beams]
                closed[row] = len(finished[row]) == beams and finished[row][-1][0] >= live[row][0][0] / length
            texts[row] = [[*texts[row][beam], token] for _, beam, token in live[row]]
        scores = torch.tensor([[value for value, _, _ in row] for row in live], device=logits.device)
        if length == most or all(closed):
            break
        origins = [row * beams + beam for row in range(n_rows) for _, beam, _ in live[row]]
        cache.reorder_cache(torch.tensor(origins, device=logits.device))
        token = torch.tensor([token_id for row in live for _, _, token_id in row], device=logits.device)[:, None]
        logits = prompt.go_on(model, token, cache, torch.ones_like(token))[:, -1]
        prompt = prompt.extended(token, torch.ones_like(token))
    for row in range(n_rows):
        if not closed[row]:
            finished[row] += [
                (value / length, text) for value, text in zip(scores[row].tolist(), texts[row], strict=True)
            ]
    return [max(row, key=lambda beam: beam[0])[1] for row in finished]


def _until(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """Return the tokens up to the first of `ends`. That one is included unless it is ends[0]."""
    place = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[: place + (tokens[place : place + 1] != [ends[0]])]
