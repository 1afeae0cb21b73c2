"""The sizes of a backbone, in which the closed forms of parameter counts are written."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from methods.backbone.roles import (
    family,
    find,
    find_stack,
    heads,
    in_decoder,
    is_bias,
    is_interleaved,
    named,
)
from methods.backbone.targets import ALL, FUSED_ROLES, LINEAR_ROLES, WHOLE, Named


@dataclass(frozen=True)
class Place:
    """A module that plays a role. block: its index in model order, -1 outside of blocks; size: its parameters."""

    path: str
    role: str
    block: int
    size: int


@dataclass(frozen=True)
class Shape:
    """The sizes of a backbone, from its config; `parameters` and `biases_outside` are counted.

    embedding: the width of a token's embedding; None for that of the states between blocks. OPT-350m's is narrower.
    q_width, kv_width: outputs of the query and of the key projection, the latter of kv_heads. encoder: blocks with one
    attention module. decoder: blocks that have cross-attention too. norms: normalisation layers. biases_outside:
    additive biases that are neither in a role's linear nor in a norm (poolers, language-model heads). experts: in a
    block's feed-forward, which then has no linears (0: an ordinary one). blocks: parameters of each, in model order.
    places: linears and norms, each module once (a fused one under its first role), in model order.
    fused_gate: "ffn-in" makes the gate, too, and is 2 * ffn wide.
    decoder_ffn, decoder_kv_heads: the decoder's own, where they are not the encoder's. interleaved: q, k and v are one
    linear, head by head. named: the linears by name, for targets that are names.
    """

    width: int
    ffn: int
    q_width: int
    kv_width: int
    kv_heads: int
    encoder: int
    decoder: int
    gated: bool
    norms: int
    parameters: int
    biases_outside: int
    experts: int = 0
    blocks: tuple[int, ...] = ()
    places: tuple[Place, ...] = ()
    embedding: int | None = None
    decoder_ffn: int | None = None
    decoder_kv_heads: int | None = None
    interleaved: bool = False
    fused_gate: bool = False
    named: Named = field(default_factory=Named, repr=False)

    @property
    def embedding_width(self) -> int:
        """Return the width of a token's embedding."""
        return self.embedding or self.width

    @property
    def attentions(self) -> int:
        """Return the number of attention modules, cross-attention included."""
        return self.encoder + 2 * self.decoder

    def key_heads(self, path: str = "") -> int:
        """Return the number of key heads of an attention module, by the dotted name of it or of what lies in it."""
        return (self.decoder_kv_heads if in_decoder(path) else None) or self.kv_heads

    def head_width(self, path: str = "") -> int:
        """Return the width of a head of an attention module, by a dotted name as of `key_heads`."""
        return self.kv_width // self.key_heads(path)

    def linears(self, targets: Iterable[str]) -> list[tuple[int, int, int]]:
        """Return (how many, d_in, d_out) of the linears that the targets name, by size."""
        targets = tuple(dict.fromkeys(targets))
        if all(target in (ALL, *LINEAR_ROLES) for target in targets):
            every = (
                (WHOLE, *(role for role in LINEAR_ROLES if role not in FUSED_ROLES))
                if self.interleaved
                else LINEAR_ROLES
            )
            roles = (role for target in targets for role in (every if target == ALL else (target,)))
            return [sized for role in dict.fromkeys(roles) for sized in self._of_role(role)]
        return [(1, *self.named.sizes[name]) for name in self.named.chosen(targets)]

    def _of_role(self, role: str) -> list[tuple[int, int, int]]:
        """Return (how many, d_in, d_out) of a role's linears, or of the one that is q, k and v (WHOLE)."""
        outputs = {"q": self.q_width, "k": self.kv_width, "v": self.kv_width, WHOLE: self.q_width + 2 * self.kv_width}
        if role in outputs:
            return [(self.attentions, self.width, outputs[role])]
        if role == "o":
            return [(self.attentions, self.q_width, self.width)]
        stacks = ((self.encoder, self.ffn), (self.decoder, self.decoder_ffn or self.ffn))
        present = not self.experts and (role != "ffn-gate" or self.gated)
        wide = 2 if self.fused_gate else 1
        sides = [(n, ffn, self.width) if role == "ffn-out" else (n, self.width, wide * ffn) for n, ffn in stacks]
        return [sized for sized in sides if present and sized[0]]


def shape(model: Any) -> Shape:
    """Return the sizes of the backbone, as it is before a method attaches; heads that train are not counted."""
    row, config = family(model), model.config
    size: dict[str, Any] = {name: getattr(config, attribute, None) for name, attribute in row.sizes.items()}
    head_width = size.get("head_width") or size["width"] // size["heads"]
    kv_heads = size.get("kv_heads") or size["heads"]
    decoder = (size.get("decoder") or 0) if find_stack(model, "decoder") else 0
    skip = tuple(f"{head}." for head in heads(model))
    parameters = {name: p for name, p in model.named_parameters() if not name.startswith(skip)}
    known = [name for role in (*LINEAR_ROLES, "norms") if role in row.roles for name in find(model, role)]
    outside = (p for name, p in parameters.items() if is_bias(name) and name.rpartition(".")[0] not in known)
    return Shape(
        width=size["width"],
        ffn=size.get("ffn") or 4 * size["width"],  # gpt2: null means that; bloom: always
        q_width=size["heads"] * head_width,
        kv_width=kv_heads * head_width,
        kv_heads=kv_heads,
        encoder=size["encoder"],
        decoder=decoder,
        gated="ffn-gate" in row.roles and bool(find(model, "ffn-gate")),
        norms=len(find(model, "norms")),
        parameters=sum(p.numel() for p in parameters.values()),
        biases_outside=sum(p.numel() for p in outside),
        experts=config.num_local_experts if row.experts else 0,
        blocks=tuple(sum(p.numel() for p in block.parameters()) for block in find(model, "blocks").values()),
        places=places(model),
        embedding=model.get_input_embeddings().weight.shape[1],
        decoder_ffn=size.get("decoder_ffn"),
        decoder_kv_heads=size.get("decoder_heads"),
        interleaved=is_interleaved(model),
        fused_gate=row.fused_gate,
        named=named(model),
    )


def places(model: Any) -> tuple[Place, ...]:
    """Return every linear and norm of the backbone that plays a role, in model order."""
    blocks = list(find(model, "blocks"))
    roles = {path: role for role in ("norms", *reversed(LINEAR_ROLES)) for path in find(model, role)}
    listed = []
    for path, module in model.named_modules():
        if path in roles:
            inside = [i for i, block in enumerate(blocks) if path.startswith(f"{block}.")]
            size = sum(p.numel() for p in module.parameters(recurse=False))
            listed.append(Place(path, roles[path], inside[0] if inside else -1, size))
    return tuple(listed)
