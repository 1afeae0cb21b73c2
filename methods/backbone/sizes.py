"""The sizes of a backbone, in which the closed forms of parameter counts are written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from methods.backbone.roles import ALL, LINEAR_ROLES, family, find, find_stack, heads, is_bias


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

    embedding: the width of a token's embedding where it is not that of the states between blocks, as in OPT-350m.
    q_width, kv_width: outputs of the query and of the key projection, the latter of kv_heads. encoder: blocks with one
    attention module. decoder: blocks that have cross-attention too. norms: normalisation layers. biases_outside:
    additive biases that are neither in a role's linear nor in a norm (poolers, language-model heads). experts: in a
    block's feed-forward, which then has no linears (0: an ordinary one). blocks: parameters of each, in model order.
    places: linears and norms, each module once (a fused one under its first role), in model order.
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

    @property
    def embedding_width(self) -> int:
        """Return the width of a token's embedding."""
        return self.embedding or self.width

    @property
    def attentions(self) -> int:
        """Return the number of attention modules, cross-attention included."""
        return self.encoder + 2 * self.decoder

    def linear(self, role: str) -> tuple[int, int, int]:
        """Return (how many, d_in, d_out) of a role's linears."""
        blocks = 0 if self.experts else self.encoder + self.decoder
        return {
            "q": (self.attentions, self.width, self.q_width),
            "k": (self.attentions, self.width, self.kv_width),
            "v": (self.attentions, self.width, self.kv_width),
            "o": (self.attentions, self.q_width, self.width),
            "ffn-in": (blocks, self.width, self.ffn),
            "ffn-gate": (blocks * self.gated, self.width, self.ffn),
            "ffn-out": (blocks, self.ffn, self.width),
        }[role]

    def linears(self, targets: Iterable[str]) -> list[tuple[int, int, int]]:
        """Return (how many, d_in, d_out) of each role among the targets, `all-linear` among them."""
        roles = (role for target in targets for role in (LINEAR_ROLES if target == ALL else (target,)))
        return [self.linear(role) for role in dict.fromkeys(roles)]


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
