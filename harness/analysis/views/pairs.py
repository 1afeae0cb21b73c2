"""Claims about two arms: which scores higher, trains fewer parameters, needs less memory.

A side is a method's name, or a mapping such as {method: NAME, detach: false} for one of its variants. A list of numbers
matches any of them, as in {rank: [8, 32]} where the scales of an exhibit have different ranks, and a list of methods
matches each. Of the parts of a combination, the name alone matches a part with any fields.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.analysis.study import comparisons, estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import ALPHA, finding
from harness.analysis.study.more_seeds import looks
from harness.analysis.study.selection import Panel
from harness.analysis.study.statistics import Interval
from harness.analysis.study.study import Study
from harness.analysis.views import cost, measured_memory
from harness.experiments.claims import Claim, side_text
from harness.experiments.verdict import Comparison, Finding

Options = Mapping[str, Any]


def arms(study: Study, side: Any) -> list[str]:
    """Return the arms of a side: those of its method whose fields have the values of the side."""
    wanted = dict(side) if isinstance(side, Mapping) else {"method": side}
    methods = wanted.pop("method", None)
    chosen = methods if isinstance(methods, list | tuple) else [methods]
    return [
        arm
        for arm in study.clean.arms
        if study.method_of[arm] in chosen and all(_is(study.field(arm, name), value) for name, value in wanted.items())
    ]


def _is(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, list | tuple):
        return bool(_plain(value) == _plain(wanted))
    if not isinstance(value, list | tuple):
        return value in wanted
    bare = all(isinstance(text, str) and " " not in text for text in wanted)
    return _plain([str(text).partition(" ")[0] for text in value] if bare else value) == _plain(wanted)


def column(panel: Panel, index: int) -> Panel:
    """Return one task of a panel."""
    return panel.at([index])


def above(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left scores higher than right."""
    return _scores(study, claim, options, "above")


def at_least(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left scores no less than right, within the margin."""
    return _scores(study, claim, options, "at least")


def below(study: Study, claim: Claim, options: Options) -> Finding:
    """Test whether left scores lower than right."""
    return _scores(study, claim, {**options, "left": options["right"], "right": options["left"]}, "above")


def fewer_parameters(study: Study, claim: Claim, options: Options) -> Finding:
    """Compare the trainable parameters, which are counted and have no interval."""
    rows, texts = [], {}
    for left, right in sides(study, options):
        mine, other = cost.parameters(study, left), cost.parameters(study, right)
        if mine is None or not other or not other[0]:
            rows.append(Comparison(left, right, "trains fewer than", "untested", reason="their records do not say"))
            continue
        share = mine[0] / other[0]
        verdict = "reproduced" if share < 1 - float(options["margin"]) else "contradicted"
        keys = study.clean.cells(left, right)
        rows.append(Comparison(left, right, "trains fewer than", verdict, share, keys=keys))
        texts[left, right] = f"{left} trains {mine[0]:,}, {share:.0%} of the {other[0]:,} of {right}"

    def describe(row: Comparison) -> str:
        """Return 'lora trains 1,024, 1% of the 102,400 of full'."""
        return texts.get((row.left, row.right), f"{row.left} against {row.right}")

    shown = tuple(rows) or absent(options, "trains fewer than")
    return finding(study, claim, float(options["margin"]), shown, {}, [], describe)


def less_memory(study: Study, claim: Claim, options: Options) -> Finding:
    """Test the share of right's peak that left saves."""
    margin, panel = float(options["margin"]), measured_memory.panel(study)
    compared = sides(study, options)
    saved = [
        Estimate(*statistics.interval(1 - panel.of(left) / panel.of(right)), keys=panel.cells(left, right))
        for left, right in compared
    ]
    tests = [_saving(estimate.main, margin) for estimate in saved]
    adjusted = statistics.holm([np.nan if p is None else p for _, p in tests])
    rows = [_saves(*row, margin) for row in zip(compared, saved, tests, adjusted, strict=True)]
    return finding(study, claim, margin, tuple(rows) or absent(options, "needs less than"), {}, [], _saved_text)


def _saving(main: Interval, margin: float) -> tuple[str, float | None]:
    """Return the test of a saving before any adjustment. Counted storages that are the same at every seed need no
    interval, and have no p.
    """
    if main.se == 0 or np.isnan(main.low):
        return "reproduced" if main.mean > margin else "contradicted", None
    return statistics.superior(main, margin)


def _saves(
    pair: tuple[str, str], saved: Estimate, test: tuple[str, float | None], p: float, margin: float
) -> Comparison:
    """Return the comparison. p: after Holm's adjustment; NaN where the test has none."""
    relation, main, (verdict, own) = "needs less than", saved.main, test
    if not main.n or np.isnan(main.mean):
        return Comparison(*pair, relation, "untested", reason="no seed was run for both with a known peak")
    low, high = (None, None) if np.isnan(main.low) else (main.low, main.high)
    if own is None:
        return Comparison(*pair, relation, verdict, main.mean, low, high, keys=saved.keys)
    decided = verdict if p < ALPHA else "inconclusive"
    alone = looks.own_test(verdict, own, main, abs(main.mean - margin))
    return Comparison(*pair, relation, decided, main.mean, low, high, p, keys=saved.keys, test=alone)


def _saved_text(row: Comparison) -> str:
    """Return 'lora saves 31.0 % [28.8, 33.2] of the peak of full'."""
    if row.estimate is None:
        return f"{row.left} against {row.right}"
    ends = ""
    if row.low is not None and row.high is not None and row.low < row.high:
        ends = f" [{100 * row.low:.1f}, {100 * row.high:.1f}]"
    return f"{row.left} saves {100 * row.estimate:.1f} %{ends} of the peak of {row.right}"


def _scores(study: Study, claim: Claim, options: Options, relation: str) -> Finding:
    """Test the pairs on the tasks on which the ceiling learns something, by one relation.

    Where the ceiling is compared with the floor, all tasks count, because that outcome would choose the tasks itself.
    """
    margin, pairs = float(options["margin"]), sides(study, options)
    if not pairs:
        return finding(study, claim, margin, absent(options, relation), {}, [])
    ends = {str(study.arm(study.exhibit.floor)), str(study.ceiling)}
    panel, left_out = study.judged, study.left_out()
    if any({*pair} == ends for pair in pairs):
        panel, left_out = study.clean, ()
    each = options["each"] and panel.tasks
    places = [(name, column(panel, i)) for i, name in enumerate(panel.tasks)] if each else [("", panel)]
    named, estimated = [], []
    for (left, right), (place, part) in itertools.product(pairs, places):
        named.append((f"{left} ({place})" if place and len(study.clean.tasks) > 1 else left, right))
        estimated.append(estimates.difference(part, left, right))
    rows = comparisons.compare(study, named, [relation] * len(named), estimated, margin)
    return finding(study, claim, margin, rows, {"left_out": left_out}, [])


def sides(study: Study, options: Options) -> list[tuple[str, str]]:
    """Return every left against every right."""
    left, right = arms(study, options["left"]), arms(study, options["right"])
    return [(first, other) for first in left for other in right if first != other]


def lacking(study: Study, options: Options) -> list[str]:
    """Return the methods of the sides of which these cells have no arm."""
    listed = [side.get("method") if isinstance(side, Mapping) else side for side in (options["left"], options["right"])]
    names = [name for side in listed for name in (side if isinstance(side, list | tuple) else [side])]
    return [str(name) for name in dict.fromkeys(names) if not arms(study, name)]


def absent(options: Options, relation: str) -> tuple[Comparison, ...]:
    """Return the finding where one of the sides has no arm."""
    left, right = side_text(options["left"]), side_text(options["right"])
    return (Comparison(left, right, relation, "untested", reason="not both among these cells"),)


def _plain(value: Any) -> Any:
    """Return a value in which lists and tuples of names are the same in any order."""
    return tuple(sorted(map(str, value))) if isinstance(value, list | tuple) else value
