"""The claims of an exhibit, tested on its records: at one look, or over several looks at growing numbers of seeds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.experiments import claims
from harness.experiments.claims import Claim
from harness.experiments.exhibits import Exhibit
from harness.experiments.verdict import Comparison, Finding, OwnTest

if TYPE_CHECKING:
    from harness.analysis.study.more_seeds import looks
    from harness.analysis.study.study import Study


def judge(exhibit: Exhibit, study: "Study") -> list[Finding]:
    """Return the exhibit's claims, tested on one model's records."""
    return [finding for _, finding in _tested(exhibit, study)]


def _tested(exhibit: Exhibit, study: "Study") -> Iterator[tuple[Claim, Finding]]:
    """Yield each claim of the exhibit, with its options, and its finding on one model's records, or on all models'."""
    for name, options in exhibit.claims:
        if claims.find(name).over_models != getattr(study, "joint", False):
            continue
        chosen = {**claims.find(name).options, **options}
        claim = claims.find(name).with_options(chosen)
        yield claim, claim.find(study, chosen)


def judge_all(exhibit: Exhibit, studies: "Sequence[Study | Any]", over_looks: bool = False) -> list[Finding]:
    """Return the exhibit's claims, tested on the records of each model.

    over_looks: whether seeds are added until the claims are decided, so that verdicts are adjusted for all looks.
    """
    from harness.analysis.study.more_seeds import looks  # here: it needs numpy

    if any(claims.find(name).over_models for name, _ in exhibit.claims) and studies:
        from harness.analysis.scaling import joint

        studies = [*studies, joint.of(studies)]
    if over_looks:
        verdicts = looks.judge(tests_at_looks(exhibit, studies))
        studies = [replace(study, over_looks=verdicts) for study in studies]
    return [finding for study in studies for finding in judge(exhibit, study)]


def tests_at_looks(exhibit: Exhibit, studies: "Sequence[Study]") -> "dict[looks.Place, list[OwnTest | None]]":
    """Return every comparison's own test at each look; None at a look that has not been made for it.

    A look is made for a comparison once all its cells with the first seeds have ended. Comparisons without any test,
    such as counts, are left out.
    """
    from harness.analysis.study.more_seeds import looks

    tests: dict[looks.Place, list[OwnTest | None]] = {}
    for study in studies:
        ended = _ended(study)
        compared = [(place, row) for place, row in _compared(exhibit, study) if row.test is not None]
        tests |= {place: [None] * len(looks.LOOKS) for place, _ in compared}  # Holm's adjustment counts all of them
        for look, seeds in enumerate(looks.LOOKS):
            if seeds > len(study.seeds):
                break
            for place, row in _compared(exhibit, study.first(seeds)):
                if row.test is not None and _complete(study, row, ended, study.seeds[:seeds]):
                    tests.setdefault(place, [None] * len(looks.LOOKS))[look] = row.test
    return tests


def _compared(exhibit: Exhibit, study: "Study") -> "list[tuple[looks.Place, Comparison]]":
    """Return every comparison of the exhibit's claims with its place, those from which others were chosen too."""
    from harness.analysis.study.more_seeds import looks

    return [
        (looks.place(study.model, claim, finding.margin, row), row)
        for claim, finding in _tested(exhibit, study)
        for row in finding.chosen_from or finding.comparisons
    ]


def _ended(study: "Study") -> dict[tuple[str, str], set[int]]:
    """Return (arm, task) -> the seeds whose cells have ended, those that failed included."""
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for rows in (study.scores, study.failures[~study.failures.status.isin(("interrupted", "running"))]):
        for arm, task, seed in zip(rows.arm, rows.task, rows.seed, strict=True):
            seeds[arm, task].add(int(seed))
    return seeds


def _complete(study: "Study", row: Comparison, ended: dict[tuple[str, str], set[int]], seeds: Sequence[int]) -> bool:
    """Return whether all cells of a comparison with these seeds have ended."""
    rows = study.scores[study.scores.key.isin(row.keys)]
    return all(ended[place].issuperset(seeds) for place in {*zip(rows.arm, rows.task, strict=True)})


def looks_made(studies: "Sequence[Study]", most: int) -> dict[str, Any]:
    """Return the declared looks and those that have been made, as JSON values. most: the most seeds of the command."""
    from harness.analysis.study.more_seeds import looks

    seeds = max((len(study.seeds) for study in studies), default=0)
    return {"declared": list(looks.LOOKS), "made": [look for look in looks.LOOKS if look <= seeds], "most": most}
