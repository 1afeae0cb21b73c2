"""What a step learns, by family: T5's span corruption, RoBERTa's masked words, LLaMA's next word.

dense: for each document, how often much of it is hidden, where there is much to look up (None draws no number). For T5
that is all that follows a place in the middle third (an S-denoiser of Tay et al. 2022), for RoBERTa half of the words.
Of a list that is repeated, the usual noise hides six words. LLaMA learns every word anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tasks.microworld.pretraining import span_corruption
from tasks.microworld.pretraining.causal_lm import EMBEDDING_SCALE
from tasks.microworld.pretraining.curriculum import pad
from tasks.microworld.vocabulary import SPECIALS
from tasks.microworld2.pretraining import first_attention, noise

EOS, MASK = SPECIALS.index("</s>"), SPECIALS.index("<mask>")
MASKED, HALF = 0.2, 0.5
IGNORED = -100
Batch = dict[str, torch.Tensor]


def t5(architecture: Mapping[str, Any]) -> PreTrainedModel:
    """Return a random T5 whose heads start with the neighbours."""
    made = T5ForConditionalGeneration(T5Config(**architecture))
    first_attention.look_at_neighbours(made)
    return made


def roberta(architecture: Mapping[str, Any]) -> PreTrainedModel:
    """Return a random RoBERTa that names masked words."""
    return RobertaForMaskedLM(RobertaConfig(**architecture))


def llama(architecture: Mapping[str, Any]) -> PreTrainedModel:
    """Return a random LLaMA with small embeddings, so that what the layers add counts from the first step."""
    made = LlamaForCausalLM(LlamaConfig(**architecture))
    with torch.no_grad():
        made.get_input_embeddings().weight.mul_(EMBEDDING_SCALE)
    return made


def spans(documents: Sequence[list[int]], rng: Random, dense: Sequence[float | None] = ()) -> Batch:
    """Return input_ids [B, T], attention_mask [B, T] and labels [B, U] for word ids without end tokens.

    Verdicts and ends are spans as others (Raffel et al. 2020, and the S-denoiser of Tay et al. 2022).
    """
    shares = dense or [None] * len(documents)
    pairs = [
        _from_middle(ids, rng) if _drawn(share, rng) else _span(ids, rng)
        for ids, share in zip(documents, shares, strict=True)
    ]
    source = pad([inputs for inputs, _ in pairs], 0)
    return {
        "input_ids": source,
        "attention_mask": (source != 0).long(),
        "labels": pad([to for _, to in pairs], IGNORED),
    }


def _drawn(share: float | None, rng: Random) -> bool:
    return share is not None and rng.random() < share


def _from_middle(ids: list[int], rng: Random) -> span_corruption.Pair:
    first = rng.randrange(len(ids) // 3, max(2 * len(ids) // 3, len(ids) // 3 + 1))
    return span_corruption._replace(ids, [(first, len(ids))])


def _span(ids: list[int], rng: Random) -> span_corruption.Pair:
    if places := noise.hidden_verdicts(ids, rng):
        return span_corruption._replace(ids, [(at, at + 1) for at in places])
    if end := noise.hidden_end(ids, rng):
        return span_corruption._replace(ids, [(end, len(ids))])
    return span_corruption.corrupt(ids, rng)


def masks(documents: Sequence[list[int]], rng: Random, dense: Sequence[float | None] = ()) -> Batch:
    """Return input_ids [B, T], attention_mask [B, T] and labels [B, T] for word ids without end tokens.

    A fifth of the words is to be named: 80 % of them are masked, 10 % replaced by words of the batch and 10 % left (Devlin et al. 2019; Liu et
    al. 2019 draw them anew at every step, as here). Verdicts are always masked. Deviation: 20 % and not 15 %, as
    documents are short.
    """
    inputs, labels = list[list[int]](), list[list[int]]()
    for ids, much in zip(documents, dense or [None] * len(documents), strict=True):
        places = noise.hidden_verdicts(ids, rng)
        share = HALF if _drawn(much, rng) else MASKED
        drawn = places or rng.sample(range(len(ids)), max(1, round(share * len(ids))))
        shown, wanted = [*ids, EOS], [IGNORED] * (len(ids) + 1)
        for at in drawn:
            wanted[at] = ids[at]
            draw = 0.0 if places else rng.random()
            shown[at] = MASK if draw < 0.8 else rng.choice(rng.choice(documents)) if draw < 0.9 else ids[at]
        inputs.append(shown)
        labels.append(wanted)
    source = pad(inputs, 0)
    return {"input_ids": source, "attention_mask": (source != 0).long(), "labels": pad(labels, IGNORED)}


def nexts(documents: Sequence[list[int]], rng: Random, dense: Sequence[float | None] = ()) -> Batch:
    """Return input_ids [B, T], attention_mask [B, T] and labels [B, T]; where verdicts are hidden they alone are learnt.

    dense changes nothing.
    """
    rows = [[*ids, EOS] for ids in documents]
    labels = [_learnt(ids, rng) for ids in rows]
    source = pad(rows, 0)
    return {"input_ids": source, "attention_mask": (source != 0).long(), "labels": pad(labels, IGNORED)}


def _learnt(ids: list[int], rng: Random) -> list[int]:
    places = frozenset(noise.hidden_verdicts(ids, rng))
    learnt = [word if at in places else IGNORED for at, word in enumerate(ids)] if places else ids
    return [IGNORED, *learnt[1:]]


FAMILIES: Mapping[str, tuple[Callable[[Mapping[str, Any]], PreTrainedModel], Callable[..., Batch]]] = {
    "t5": (t5, spans),
    "roberta": (roberta, masks),
    "llama": (llama, nexts),
}
"""Family -> how its random model is made, and how documents become a batch."""


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy of a batch: a scalar, with gradient."""
    mean: torch.Tensor = model(**batch).loss
    return mean


def backward(model: nn.Module, batch: Batch, parts: int) -> float:
    """Add the gradient of a batch's loss, and return the loss.

    The rows are read in `parts` of like lengths, which pads less and changes the sum by rounding alone.
    """
    if parts == 1:
        mean = loss(model, batch)
        mean.backward()
        return float(mean.detach())
    order, total = batch["attention_mask"].sum(dim=1).argsort(stable=True), int((batch["labels"] != IGNORED).sum())
    whole = 0.0
    for rows in order.tensor_split(parts):
        part = _cut({name: tensor[rows] for name, tensor in batch.items()})
        share = loss(model, part) * (int((part["labels"] != IGNORED).sum()) / total)
        share.backward()
        whole += float(share.detach())
    return whole


def _cut(batch: Batch) -> Batch:
    """Return a batch without the columns at the end in which no row has a word and none a label.

    Labels that are as wide as the inputs stand at the same places, so they are cut with them.
    """
    labels, words = (batch["labels"] != IGNORED).any(dim=0), batch["attention_mask"].any(dim=0)
    if len(labels) == len(words):
        labels = words = labels | words
    ends = {name: int((labels if name == "labels" else words).nonzero()[-1]) + 1 for name in batch}
    return {name: tensor[:, : ends[name]].contiguous() for name, tensor in batch.items()}
