"""LoRA (Hu et al. 2021, arXiv 2106.09685): h = W x + (alpha/R) B A x, with W frozen.

Parameters: R (d_in + d_out) for each target. A is Kaiming-uniform(a = sqrt 5) as in the authors' code (the
paper says Gaussian), B is zero, so the start is the backbone. `rslora` scales by alpha / sqrt R (Kalajdzievski
2023, arXiv 2312.03732), so that the update does not shrink as the rank grows. `dropout` is on the input of
B A while it trains, as `lora_dropout` in the authors' code and in PEFT (the paper's GPT-2 runs have 0.1, table 11).
`rate_ratio` is the learning rate of B over that of A, which is the recipe's: above 1 it is LoRA+ (Hayou et al. 2024,
arXiv 2402.12354), whose authors recommend 16. `init` is the start of A and B: kaiming, gaussian (A normal with sd
1/R), eva with B zero, or pissa, milora, olora, corda and lora_ga, whose product is not zero and is subtracted
(attachment/starts.py). eva, corda and lora_ga look at the first `start_batches` batches of train rows, their padding
included. Deviations of these starts: the frozen weight stays as it is, and the product of the start is subtracted
beside it (a second update of rank R), so that no weight is rounded and dropout acts on both; eva gives every target the
same rank. A file has the two updates as one of rank 2R.
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Dropping,
    Group,
    Linear,
    Names,
    OnWeights,
    Shape,
    Training,
    Update,
    dense,
    inserted,
    linears,
    parameter,
    starts,
)

LOOKING = ("eva", "corda", "lora_ga")
"""The starts that look at train rows."""


class LowRank(Update):
    """The update scale B A, less that of its start. A: [R, d_in], B: [d_out, R].

    subtracted: whether the start's product is subtracted; else start_A: [R, d_in] and start_B: [d_out, R] are None.
    """

    start_A: torch.Tensor | None
    start_B: torch.Tensor | None

    def __init__(self, host: Linear, rank: int, scale: float, subtracted: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.A = parameter(host.weight, rank, host.in_features)
        self.B = parameter(host.weight, host.out_features, rank)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)
        for name, like in (("start_A", self.A), ("start_B", self.B)):
            self.register_buffer(name, torch.zeros_like(like.detach()) if subtracted else None, persistent=False)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return scale B A x, less that of the start: [B, T, d_out] for x: [B, T, d_in]."""
        A, B = self.pair()
        return self.scale * F.linear(F.linear(x.to(A.dtype), A), B)

    def weight(self) -> torch.Tensor:
        """Return scale B A, less that of the start: [d_out, d_in]."""
        A, B = self.pair()
        return self.scale * (B @ A)

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale B: [d_out, R] and A: [R, d_in]; with a start that is subtracted, of rank 2R."""
        A, B = self.pair()
        return self.scale * B, A

    def pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return A: [R, d_in] and B: [d_out, R]; with a start that is subtracted, both of rank 2R."""
        if self.start_A is None or self.start_B is None:
            return self.A, self.B
        return torch.cat((self.A, self.start_A)), torch.cat((self.B, -self.start_B), dim=1)

    @torch.no_grad()
    def begin(self, A: torch.Tensor, B: torch.Tensor | None) -> None:
        """Start at A: [R, d_in] and B: [d_out, R], or at zero where there is no B."""
        self.A.copy_(A)
        if B is not None and self.start_A is not None and self.start_B is not None:
            self.B.copy_(B)
            self.start_A.copy_(A)
            self.start_B.copy_(B)

    @torch.no_grad()
    def plain(self) -> "LowRank":
        """Return the update without a start of its own: itself, or one of rank 2R."""
        if self.start_A is None:
            return self
        A, B = self.pair()
        like = SimpleNamespace(weight=self.A, in_features=A.shape[1], out_features=len(B))
        made = type(self)(like, len(A), self.scale)  # type: ignore[arg-type]
        made.A.copy_(A)
        made.B.copy_(B)
        made._seat, made._hook, made.dropout = self._seat, self._hook, self.dropout
        return made.train(self.training)


@dataclass(frozen=True)
class LoRA(OnWeights):
    """Low-rank updates of linears."""

    name: ClassVar[str] = "lora"
    derived: ClassVar[dict[str, str]] = {"alpha": "2 * rank"}

    rank: int = 8
    alpha: float | None = None
    rslora: bool = False
    targets: Names = ("q", "v")
    dropout: float = 0.0
    rate_ratio: float = 1.0
    init: Literal["kaiming", "gaussian", "pissa", "milora", "olora", "eva", "corda", "lora_ga"] = "kaiming"
    start_batches: int = 8

    def __post_init__(self) -> None:
        self.require(self.rate_ratio > 0, "rate_ratio", "the learning rate of B over that of A must be above 0")
        super().__post_init__()
        self.require(self.start_batches >= 1, "start_batches", "a start looks at 1 batch or more")
        looks = self.init in LOOKING or self.start_batches == LoRA.start_batches
        self.require(looks, "start_batches", f"only init={', '.join(LOOKING)} look at train rows; leave it out")
        self.require(self.alpha is None or self.alpha > 0, "alpha", "alpha must be above 0 (null: 2 * rank)")

    def attach(self, model: nn.Module) -> None:
        self.attach_each(linears(model, self.targets), self._drawn)

    def fits(self, path: str, host: Linear) -> None:
        self.fits_rank(path, host)
        limit = min(host.in_features, host.out_features)
        twice = self.init != "lora_ga" or 2 * self.rank <= limit
        self.require(twice, "rank", f"init=lora_ga takes 2R of the {limit} singular vectors of {path}")

    def _drawn(self, host: Linear) -> Dropping:
        delta = self.delta(host)
        if self.init == "gaussian" and (update := self.low_rank(delta)) is not None:
            nn.init.normal_(update.A, std=1 / self.rank)
        return delta

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        return () if self.rate_ratio == 1 else (Group.matching(rf".*\.{self.name}(_\w+)?\.(.*\.)?B", self.rate_ratio),)

    def delta(self, host: Linear) -> Dropping:
        """Return the delta for one target."""
        return LowRank(host, self.rank, self.scale, self.subtracted)

    def low_rank(self, delta: Dropping) -> LowRank | None:
        """Return the low-rank update of a delta, or None where it has none."""
        return delta if isinstance(delta, LowRank) else None

    @property
    def subtracted(self) -> bool:
        """Return whether the product of the start is not zero, so that it is subtracted."""
        return self.init not in ("kaiming", "gaussian", "eva")

    @property
    def has_start(self) -> bool:
        return self.init not in ("kaiming", "gaussian")

    def start(self, model: nn.Module, training: Training) -> None:
        """Set A and B by the weights, or by what the first batches show."""
        if not self.has_start:
            return
        targets = [(path, host, delta) for path, host, delta in inserted(model, self.name, Dropping)]
        seen: dict[str, Any] = {}
        if self.init in LOOKING:
            gather = starts.Gradient if self.init == "lora_ga" else starts.Moments
            by_name = {f"{path} {number}": delta for number, (path, _, delta) in enumerate(targets)}
            seen = starts.watch(by_name, gather, training.losses, self.start_batches)
            for p in model.parameters():
                p.grad = None
        for number, (path, host, delta) in enumerate(targets):
            if (update := self.low_rank(delta)) is not None:
                update.begin(*self._pair(dense(host).detach().float(), seen.get(f"{path} {number}")))

    def _pair(self, weight: torch.Tensor, seen: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the start of A: [R, d_in] and B: [d_out, R] for weight: [d_out, d_in] and what the host showed."""
        match self.init:
            case "pissa":
                return starts.principal(weight, self.rank, self.scale)
            case "milora":
                return starts.minor(weight, self.rank, self.scale)
            case "olora":
                return starts.orthonormal(weight, self.rank)
            case "corda":
                return starts.oriented(weight, seen.covariance, self.rank, self.scale)
            case "lora_ga":
                return starts.aligned(seen.sum, self.rank)
            case _:
                return starts.explained(seen.covariance, seen.mean, self.rank), None

    @property
    def scale(self) -> float:
        """Return the factor of B A: alpha / R, or alpha / sqrt R with `rslora`."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out) for n, d_in, d_out in shape.linears(self.targets))
