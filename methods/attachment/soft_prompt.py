"""Soft prompts: a stack reads P embeddings with every input, and callers see the positions of their own tokens only.

What the backbone computes at the prompt's positions is cut off again. An encoder-decoder's decoder attends to it.

A sliding window counts padding, too. So where a model has one and rows are padded on the left, the prompt stands behind
each row's padding, or the padding would push it out of the window.
"""

import inspect
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import UsageError
from methods.backbone.roles import family, find_stack
from methods.backbone.trainable_parameters import Delta, parameter

WINDOWS = ("sliding_window", "window_size", "attention_chunk_size")
"""Fields of a configuration that say how far a token looks back."""


class Prompt(Delta):
    """P soft tokens. embeddings: [P, D]. at: their index in the input.

    windowed: whether the model counts positions, padding included, to know which tokens a token sees. padded: [B] the
    padding on the left of each row in the call under way; None where the prompt has one index in all rows.
    """

    def __init__(self, start: torch.Tensor, at: int, rotary: bool) -> None:
        super().__init__()
        self.length, self.at, self.rotary = len(start), at, rotary
        self.windowed = False
        self.padded: torch.Tensor | None = None
        self.opened = False  # whether the call under way holds the prompt (not so when a cache already does)
        self.embeddings = parameter(start, *start.shape)
        with torch.no_grad():
            self.embeddings.copy_(start)

    def forward(self) -> torch.Tensor:
        """Return the soft tokens: [P, D]."""
        return self.embeddings

    def widen(self, x: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Return x: [B, T, ...] with new: [B, P, ...] inserted at the prompt's index: [B, P + T, ...]."""
        if self.padded is not None:
            slots, start = torch.arange(self.length + x.shape[1], device=x.device), self.padded[:, None]
            behind = torch.where(slots < start + self.length, slots - start, slots)
            return _gathered(torch.cat((new, x), dim=1), torch.where(slots < start, slots + self.length, behind))
        return torch.cat((x[:, : self.at], new, x[:, self.at :]), dim=1)

    def cut(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the positions outside the prompt: [B, T, D] of hidden: [B, P + T, D].

        They lie together in memory, since torch multiplies each row of a mere slice with a frozen head by itself.
        """
        if self.padded is not None:
            slots = torch.arange(hidden.shape[1] - self.length, device=hidden.device)
            return _gathered(hidden, torch.where(slots < self.padded[:, None], slots, slots + self.length))
        if self.at == 0:
            return hidden[:, self.length :].contiguous()
        return torch.cat((hidden[:, : self.at], hidden[:, self.at + self.length :]), dim=1)


def _gathered(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the entries of x: [B, T, ...] at index: [B, N] of each row: [B, N, ...]."""
    return x.gather(1, index.view(*index.shape, *(1,) * (x.dim() - 2)).expand(*index.shape, *x.shape[2:]))


def _padded(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Return the padding on the left of each row of a mask [B, T]: [B]; None without any."""
    if mask is None or mask.dim() != 2:
        return None
    padded = mask.int().argmax(dim=1)
    return padded if bool(padded.any()) else None


def _open(names: tuple[str, ...], stack: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Insert the prompt into the stack's input, before the stack runs (`names`: of its positional arguments)."""
    prompt: Prompt = stack.prompt
    call = dict(zip(names, args, strict=False)) | kwargs
    mask, positions, cache = (call.get(name) for name in ("attention_mask", "position_ids", "past_key_values"))
    prompt.opened = cache is None or int(cache.get_seq_length()) == 0
    prompt.padded = _padded(mask) if prompt.windowed else None
    if mask is not None:
        front = prompt.at == 0 and prompt.padded is None
        call["attention_mask"] = mask = F.pad(mask, (prompt.length, 0), value=1) if front else _ones(prompt, mask)
    if not prompt.opened:  # the cache holds the prompt: only the positions move
        if positions is not None:
            call["position_ids"] = positions + prompt.length
        return (), call
    embedded = call.get("inputs_embeds")
    if embedded is None:
        embedded = stack.get_input_embeddings()(call["input_ids"])
    soft = prompt().to(embedded.dtype).expand(embedded.shape[0], -1, -1)
    call |= {"input_ids": None, "inputs_embeds": prompt.widen(embedded, soft)}
    if positions is not None:
        first = torch.arange(prompt.at, prompt.at + prompt.length, device=positions.device)
        moved = torch.cat((positions[:, : prompt.at], positions[:, prompt.at :] + prompt.length), dim=1)
        call["position_ids"] = prompt.widen(moved, first.expand(positions.shape[0], -1))
    elif mask is not None and prompt.rotary:  # else the padding of a row would stand between prompt and text
        call["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    if (types := call.get("token_type_ids")) is not None:
        call["token_type_ids"] = prompt.widen(types, types.new_zeros(types.shape[0], prompt.length))
    return (), call


def _ones(prompt: Prompt, mask: torch.Tensor) -> torch.Tensor:
    """Return the mask [B, T] with ones inserted at the prompt's positions: [B, P + T]."""
    return prompt.widen(mask, mask.new_ones(mask.shape[0], prompt.length))


def _close(stack: Any, args: tuple[Any, ...], output: Any) -> Any:
    """Cut the prompt's positions off the stack's output, so that callers get as many positions as they gave."""
    if stack.prompt.opened:
        output.last_hidden_state = stack.prompt.cut(output.last_hidden_state)
    return output


def _show(length: int, decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Widen the mask with which a decoder attends to the encoder's output, in which the prompt stands."""
    mask, states = kwargs.get("encoder_attention_mask"), kwargs.get("encoder_hidden_states")
    if mask is not None and states is not None and mask.shape[1] < states.shape[1]:
        kwargs["encoder_attention_mask"] = F.pad(mask, (length, 0), value=1)
    return args, kwargs


def plug(model: nn.Module, prompt: Prompt) -> None:
    """Make `model` read `prompt` with every input."""
    stack = find_stack(model, family(model).stack)
    if stack is None or hasattr(stack, "prompt"):
        raise UsageError("a soft prompt needs a backbone with an input stack that has no prompt yet")
    stack.add_module("prompt", prompt)
    text = cast(Any, model.config).get_text_config()
    prompt.windowed = prompt.at == 0 and any(getattr(text, name, None) is not None for name in WINDOWS)
    names = tuple(inspect.signature(stack.forward).parameters)
    stack.register_forward_pre_hook(partial(_open, names), with_kwargs=True)
    decoder = find_stack(model, "decoder")
    if decoder is None or decoder is stack:
        stack.register_forward_hook(_close)
    else:
        decoder.register_forward_pre_hook(partial(_show, prompt.length), with_kwargs=True)
