"""A start for T5 from which looking things up is learnt soon: heads that see the neighbours, and that say what they see.

To say the word that followed an earlier copy of the present one, a model has to see what stands beside each word, to find
that word again, and to say what it finds. Neither helps without the others, so a small T5 with random weights stays
for thousands of steps where it tells nothing but frequent words. So the first head of every stack starts with its
attention on the word before, and the second head of the encoder with its own on the word after; and every output
projection starts as the transpose of its value projection, so that attention adds a picture of the words that it sees
(the idea of Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention Layers"; deviation: they set queries and
keys as well). Everything learns from there.
"""

import torch
from torch import nn
from transformers import T5ForConditionalGeneration

STRENGTH = 5.0
"""What is added to the attention logit of a neighbour."""
BEFORE, AFTER = 0, 1
"""Heads that start with the word before, and with the word after."""


def look_at_neighbours(model: T5ForConditionalGeneration) -> None:
    """Set the relative attention biases [buckets, H] and output projections [D, H*K] of a T5 with random weights.

    The bucket of a distance of one is 1; an encoder has as many again for the words that follow.
    """
    with torch.no_grad():
        for stack in (model.encoder, model.decoder):
            bias = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
            bias[1, BEFORE] += STRENGTH
            if stack is model.encoder:
                bias[len(bias) // 2 + 1, AFTER] += STRENGTH
        for attention in _attentions(model):
            attention.get_parameter("o.weight").copy_(attention.get_parameter("v.weight").T)


def _attentions(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, "o") and hasattr(module, "v")]
