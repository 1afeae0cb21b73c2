"""What a claim is: what it estimates, the direction, the smallest effect of interest and the scale. Torch-free."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.experiments.verdict import Finding
from harness.formatting import enumeration


def side_text(value: Any) -> Any:
    """Return the text of an option: a side of a comparison as its table shows it, or a list as a sentence has it."""
    if isinstance(value, list):
        return enumeration([str(side_text(side)) for side in value])
    if not isinstance(value, Mapping):
        return value
    texts = (
        f"{name}={_listed(field_value) if isinstance(field_value, list) else field_value}"
        for name, field_value in value.items()
        if name != "method" or not isinstance(field_value, list)
    )
    methods = value.get("method")
    if isinstance(methods, list):
        return " ".join(["each of " * (len(methods) > 1) + ", ".join(map(str, methods)), *texts])
    return " ".join(text.removeprefix("method=") for text in texts)


def _listed(values: Sequence[Any]) -> str:
    """Return a list as text: names form one value, in any order; of numbers, any one is meant."""
    if all(isinstance(value, str) for value in values):
        return "+".join(sorted(values))
    return " or ".join(map(str, values))


@dataclass(frozen=True)
class Claim:
    """A claim that can be tested. Options an exhibit may set: `margin` and those in `options`, with defaults.

    sentence: the paper's sentence, {option} standing for what an exhibit sets.
    margin: the smallest effect of interest, on `scale`, above 0; why: the reason for it.
    target: "module:function", a function of (Study, claim, options) giving a Finding.
    neutral: the estimate from which the margin counts to both sides, or the name of the option that has it.
    construction: the claim is counted and holds however training goes. ours: it is this project's and no paper's.
    any_rate: why no learning rate could change it; "" where a better one could (open_rates.py).
    over_models: it compares models, so it is tested once on the records of all of them.
    """

    name: str
    sentence: str
    estimand: str
    direction: str
    scale: str
    margin: float
    target: str
    options: Mapping[str, Any]
    why: str = ""
    any_rate: str = ""
    neutral: float | str = 0.0
    construction: bool = False
    ours: bool = False
    over_models: bool = False

    def with_options(self, options: Mapping[str, Any]) -> "Claim":
        """Return the claim with the options filled into its sentence."""
        return replace(
            self, sentence=self.sentence.format(**{name: side_text(value) for name, value in options.items()})
        )

    def test(self) -> Callable[..., Finding]:
        """Return the function that tests the claim."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)

    def find(self, study: Any, options: Mapping[str, Any]) -> Finding:
        """Return the finding on the claim by a Study, with these options."""
        neutral = options[self.neutral] if isinstance(self.neutral, str) else self.neutral
        return replace(self.test()(study, self, options), neutral=float(neutral))


def declared(name: str, sentence: str, target: str, margin: float, **fields: Any) -> Claim:
    """Return a claim whose margin is one of its options."""
    options = {"margin": margin, **fields.pop("options", {})}
    return Claim(name=name, sentence=sentence, target=target, margin=margin, options=options, **fields)
