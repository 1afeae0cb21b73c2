"""The loss of the embedded backbones on held-out text, by kind of document.

It is on each card, written when a backbone is shipped. This writes it anew for all of them:
python -m tasks.microworld.pretraining.loss_by_kind
"""

import json
from collections import defaultdict

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel

from tasks.microworld import corpus, vocabulary
from tasks.microworld.pretraining import held_out, shipping
from tasks.microworld.pretraining.curriculum import pad

ALL = "all"


def by_kind(name: str, model: PreTrainedModel) -> dict[str, float]:
    """Return kind -> mean loss per target token in nats, and that of all documents under ALL.

    A T5 says what was masked, a LLaMA the whole document, so the numbers of two families are not comparable.
    """
    tokenizer = AutoTokenizer.from_pretrained(str(vocabulary.PATH))
    kinds = {text: kind for kind, text in corpus.of_kinds(4 * held_out.COUNT, held_out.SEED)}
    pairs = held_out.pairs(name, lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])
    read = pad([given for given, _ in pairs], 0)
    target = pad([wanted for _, wanted in pairs], -100)
    losses: dict[str, list[torch.Tensor]] = defaultdict(list)
    for text, tokens in zip(held_out.documents(), _losses(model.eval(), read, target), strict=True):
        losses[kinds[text]].append(tokens)
        losses[ALL].append(tokens)
    return {kind: round(float(torch.cat(many).mean()), 4) for kind, many in sorted(losses.items())}


@torch.inference_mode()
def _losses(model: PreTrainedModel, read: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
    """Return for each document the losses of its target tokens, from the ids read [B, T] and to say [B, U]."""
    if model.config.is_encoder_decoder:
        logits = model(input_ids=read, attention_mask=(read != 0).long(), labels=target).logits
    else:  # it reads a document's first word and what it is to say, padded on the right
        whole = torch.cat((read, target.clamp(min=0)), dim=1)
        logits = model(input_ids=whole, attention_mask=(torch.cat((read, target), dim=1) > 0).long()).logits[:, :-1]
    loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="none").view(
        target.shape
    )
    return [row[wanted != -100] for row, wanted in zip(loss, target, strict=True)]


def main() -> None:
    """Write the loss of every shipped backbone into its facts and its card."""
    for file in sorted(shipping.WEIGHTS.glob("*/pretraining.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        kind = AutoModelForSeq2SeqLM if facts["family"] == "t5" else AutoModelForCausalLM
        facts["held_out_loss"] = by_kind(facts["model"], kind.from_pretrained(file.parent, dtype=torch.float32))
        file.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        shipping.write_card(file.parent)
        print(facts["model"], facts["held_out_loss"])


if __name__ == "__main__":
    main()
