"""Apply the choices of `deltabench reproduce` to the blocks of an exhibit. Torch-free.

task=NAME          keeps the cells of an axis that has the value, and drops blocks left without any;
method.rank=4      the same for a swept field; a field that no block sweeps is set wherever it can be;
seed=7             is a seed to report; the seeds on which rates are tried stay as they are;
model=NAME         a value the axis does not have replaces the axis; a method is only ever added;
recipe.learning_rate=1e-3    is the rate of all cells of an exhibit that searches for rates; several are tried on its
                             tuning seeds;
recipe.learning_rate=tuned   searches the rate of every block on the exhibit's tuning seeds, or on `tuning_seed=`;
+method=NAME       adds to an axis; beside method=NAME, which it keeps, both are left.
"""

import fnmatch
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from harness.errors import UsageError
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids import declared_types, options
from harness.experiments.grids.blocks import (
    CHOSEN,
    RATE,
    TUNED,
    TUNING_SEED,
    USUAL_SEED,
    Block,
    distinct,
    values,
)
from harness.experiments.rates import given_rates
from harness.files import strict_json
from methods import registry as methods

Chosen = Mapping[str, list[Any]]
LONGEST = 130
"""Characters of a folder's name before its digest."""


def reshape(exhibit: Exhibit, blocks: Sequence[Block], chosen: Chosen, added: Chosen) -> tuple[list[Block], list[str]]:
    """Return the blocks to run, and one line per replaced axis. Raise UsageError where no cell is left."""
    shaped, notes = [dict(block) for block in blocks], []
    for axis, wanted in added.items():
        shaped = _add(exhibit, shaped, axis, wanted)
        notes += _unreported(exhibit, wanted, "+") if axis == "seed" else []
    if TUNED in chosen.get(RATE, ()) or TUNING_SEED in chosen:
        shaped, chosen, line = _searching(exhibit, shaped, chosen)
        notes += line
    tuning = searched(exhibit, shaped).tuning_seeds()
    for axis, given in chosen.items():
        wanted = distinct([*given, *added.get(axis, [])])
        # The seeds on which rates are tried are none of those that a seed is given for.
        tries = [block for block in shaped if axis == "seed" and given_rates.tries_only(block, tuning)]
        others, lines = _at_values(exhibit, [block for block in shaped if block not in tries], axis, wanted, tuning)
        if not others:
            raise UsageError(f"no cell of exhibit {exhibit.name} is left after {axis}={_text(wanted)}.")
        shaped, notes = [*tries, *others], [*notes, *lines]
    return list(shaped), notes


def _at_values(
    exhibit: Exhibit, blocks: Sequence[dict[str, Any]], axis: str, wanted: list[Any], tuning: Collection[int]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the blocks at the wanted values of one axis, and what is said of it. tuning: the seeds that try rates."""
    present = _present(blocks, axis)
    if axis == RATE and CHOSEN not in wanted and given_rates.have_open_rates(blocks):
        shaped = [dict(block) for block in given_rates.at(blocks, wanted, tuning)]
        return shaped, _rates(shaped, wanted, present, given_rates.tried_on(shaped, tuning))
    if present and all(any(_matches(value, want) for value in present) for want in wanted):
        matching = [value for value in present if any(_matches(value, want) for want in wanted)]
        shaped = _keep(blocks, axis, matching)
        return [_with_own_fields(block) if axis == "method" else block for block in shaped], []
    if axis == "method":
        named = ",".join(name for want in wanted for name in options.match("method", str(want)))
        raise UsageError(f"method={named}: not in exhibit {exhibit.name}; +method={named} adds it.")
    unreported = _unreported(exhibit, wanted) if axis == "seed" else []
    return _set(exhibit, blocks, axis, wanted), [_replaced(axis, wanted, present), *unreported]


def _replaced(axis: str, wanted: Sequence[Any], present: Sequence[Any]) -> str:
    """Return the line that says which values an axis has now, and which it had."""
    now, was = (", ".join(declared_types.written(axis, choice) for choice in choices) for choices in (wanted, present))
    return f"{axis} is {now}{f', instead of {was}' if present else ''}"


def _rates(blocks: Sequence[Block], wanted: Sequence[Any], present: Sequence[Any], seeds: Sequence[int]) -> list[str]:
    """Return what is said of the rates that replace a search or a choice. seeds: those on which they are tried."""
    own = distinct([rate for block in blocks for rate in values(block, RATE) if rate not in (*wanted, CHOSEN)])
    lines = [_replaced(RATE, wanted, [rate for rate in present if rate not in own])]
    if seeds:
        lines.append(f"these rates are tried on seed {_text(seeds)}, and the best one of each arm is reported")
    return [*lines, *([f"cells at a rate of their own keep it: {_text(own)}"] if own else [])]


def searched(exhibit: Exhibit, blocks: Sequence[Block]) -> Exhibit:
    """Return the exhibit, which also knows the seeds on which these blocks search for rates, as no table reports them.

    An exhibit that knows them already stays as it is.
    """
    known = exhibit.tuning_seeds()
    fresh = given_rates.have_open_rates(blocks) and any(
        len(values(block, RATE)) > 1 and not set(values(block, "seed")) <= known for block in blocks
    )
    rated = [block for block in blocks if TUNED in values(block, RATE) or (fresh and RATE in block)]
    return replace(exhibit, grids={**exhibit.grids, "searched": tuple(rated)}) if rated else exhibit


def _searching(
    exhibit: Exhibit, blocks: Sequence[Block], chosen: Chosen
) -> tuple[list[dict[str, Any]], Chosen, list[str]]:
    """Return the blocks at the rate TUNED, the choices that are left, and what is said of it.

    Blocks that only try rates for others fall away. Several given rates are left, to be tried on the tuning seeds.
    """
    rates, present = list(chosen.get(RATE, ())), _present(blocks, RATE)
    several = len(rates) > 1 and TUNED not in rates
    given = " ".join(words({name: chosen[name] for name in (RATE, TUNING_SEED) if name in chosen}))
    if not several and rates != [TUNED] and (rates or TUNED not in present):
        raise UsageError(
            f"{given}: {TUNING_SEED} is the seed on which rates are tried, and with these choices exhibit "
            f"{exhibit.name} tries none; give {RATE}={TUNED} without other rates, or several rates without {TUNED}."
        )
    if exhibit.sets == "validation":
        raise UsageError(
            f"{given}: exhibit {exhibit.name} compares the same rates on all of its tasks, and others "
            f"would be tried on each; leave {RATE} and {TUNING_SEED} out, or give a list of rates alone."
        )
    tuning = exhibit.tuning_seeds() | exhibit.declared_tuning
    seeds = list(chosen.get(TUNING_SEED, ())) or sorted(tuning) or [USUAL_SEED]
    fresh = [{**block, "seed": [seed for seed in values(block, "seed") if seed not in tuning]} for block in blocks]
    shaped = [{**block, RATE: [TUNED], TUNING_SEED: seeds} for block in fresh if block["seed"]]
    left = {axis: wanted for axis, wanted in chosen.items() if axis != TUNING_SEED and (axis != RATE or several)}
    others = [rate for rate in present if rate != TUNED]
    lines = [_replaced(RATE, [TUNED], others)] if rates == [TUNED] and others else []
    return shaped, left, lines


def _unreported(exhibit: Exhibit, seeds: Sequence[int], sign: str = "") -> list[str]:
    """Return a line per given seed that no table reports. Raise UsageError where no other seed is given.

    sign: before the word of the command line.
    """
    choosing = exhibit.tuning_seeds()
    alone = [seed for seed in seeds if seed in choosing]
    if len(alone) == len(seeds):
        raise UsageError(
            f"{sign}seed={_text(seeds)}: exhibit {exhibit.name} only chooses learning rates on this seed, and reports "
            f"no score of it; give others, such as {sign}seed={next(seed for seed in count() if seed not in choosing)}."
        )
    return [f"seed {seed} only chooses learning rates, and no table reports it" for seed in alone]


def label(scale: str, chosen: Chosen, added: Chosen) -> str:
    """Return the folder's name: the scale and the given choices, so that no partial table hides a full one.

    A digest of the choices keeps two selections apart whose names are the same once they are cut and made safe.
    """
    if not chosen and not added:
        return scale
    chosen, added = ({axis: distinct(wanted) for axis, wanted in ones.items()} for ones in (chosen, added))
    given = [f"{axis}={_text(wanted)}" for axis, wanted in sorted(chosen.items())]
    given += [f"+{axis}={_text(wanted)}" for axis, wanted in sorted(added.items())]
    name = "--".join([scale, *given])
    plain = "".join(letter if letter.isalnum() or letter in "-+=.,_" else "_" for letter in name)
    selection = [scale, sorted(words(chosen)), sorted(words(added, "+"))]
    return f"{plain[:LONGEST]}--{hashlib.sha256(strict_json.encode(selection)).hexdigest()[:10]}"


def words(chosen: Chosen, sign: str = "") -> list[str]:
    """Return choices as the words of a command line, each of which reads as the same choice again."""
    return [
        f"{sign}{axis}={','.join(declared_types.written(axis, choice) for choice in ones)}"
        for axis, ones in chosen.items()
    ]


def _present(blocks: Sequence[Block], axis: str) -> list[Any]:
    """Return the values of an axis over all blocks, with patterns expanded."""
    present: list[Any] = []
    for value in (value for block in blocks for value in values(block, axis)):
        expanded = options.match(axis, value) if isinstance(value, str) and set(value) & set("*?[") else [value]
        present += [value for value in expanded if value not in present]
    return present


def _keep(blocks: Sequence[Block], axis: str, matching: Sequence[Any]) -> list[dict[str, Any]]:
    shaped = []
    for block in blocks:
        left = [value for value in _present([block], axis) if value in matching]
        if left:
            shaped.append({**block, axis: left})
        elif axis not in block:
            shaped.append(dict(block))
    return shaped


def _with_own_fields(block: Block) -> dict[str, Any]:
    """Return a block without the fields that none of its methods has: those that are left may not have them."""
    return {axis: value for axis, value in block.items() if not axis.startswith("method.") or _takes(block, axis)}


def _set(exhibit: Exhibit, blocks: Sequence[Block], axis: str, wanted: list[Any]) -> list[dict[str, Any]]:
    """Set the axis in the blocks that sweep it, or else in every block that can take the field."""
    swept = any(axis in block for block in blocks)
    takes = [axis in block if swept else _takes(block, axis) for block in blocks]
    if not any(takes) and axis == RATE:
        raise UsageError(
            f"{RATE}={_text(wanted)}: nothing trains in the cells of exhibit {exhibit.name} but in those that they "
            f"build on, which have rates of their own; leave {RATE} out."
        )
    if not any(takes):
        raise UsageError(f"{axis}: none of the methods here has such a field.")
    return [{**block, axis: wanted} if take else dict(block) for block, take in zip(blocks, takes, strict=True)]


def _takes(block: Block, axis: str) -> bool:
    group, _, field = axis.partition(".")
    known = methods.catalogue()
    if axis == RATE:
        return not all(name in known and known[name].evaluation_only for name in _present([block], "method"))
    if group != "method":
        return True
    return any(field in known[name].fields for name in _present([block], "method") if name in known)


def _add(exhibit: Exhibit, blocks: Sequence[Block], axis: str, wanted: list[Any]) -> list[dict[str, Any]]:
    """Add a method to the blocks of compared methods, and not to those of floor and ceiling alone; a seed to those that
    are reported.
    """
    if axis == "seed":
        tuning = exhibit.tuning_seeds()
        tries = [given_rates.tries_only(block, tuning) for block in blocks]
        return [
            dict(block) if only else {**block, axis: distinct([*values(block, axis), *wanted])}
            for block, only in zip(blocks, tries, strict=True)
        ]
    roles = {exhibit.floor, exhibit.ceiling}
    joins = [axis != "method" or bool(set(_present([block], axis)) - roles) for block in blocks]
    joins = [join and axis in block for join, block in zip(joins, blocks, strict=True)]
    if not any(joins):
        joins = [axis in block for block in blocks]
    if not any(joins):
        raise UsageError(f"+{axis}: exhibit {exhibit.name} has no such axis to add to; {axis}= sets it.")
    return [
        {**block, axis: distinct([*values(block, axis), *wanted])} if join else dict(block)
        for block, join in zip(blocks, joins, strict=True)
    ]


def _matches(value: Any, want: Any) -> bool:
    if isinstance(value, str) and isinstance(want, str):
        return fnmatch.fnmatchcase(value, want)
    return bool(value == want)


def _text(wanted: Sequence[Any]) -> str:
    return ",".join(map(str, wanted))
