"""Every claim of every exhibit, with the findings of our reference runs and of the runs under a folder. Torch-free.

A claim that no run has judged is untested. It names the command that shows what its cells would cost.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import assets
from harness.experiments import claims
from harness.experiments.claims import Claim
from harness.experiments.exhibits import Exhibit
from harness.experiments.verdict import parts_of
from harness.files import plain_files, strict_json

REFERENCE = "reference"
OWN = "own"
"""The paper of a claim that is this project's."""
UNTESTED = "untested"
_PAPER = re.compile(r"\w+ et al\. \d{4}")


@dataclass(frozen=True)
class Judged:
    """One finding: of which run ("reference", or the folder of a run), on which model, and its content as JSON."""

    run: str
    model: str
    verdict: str
    evidence: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Stated:
    """A claim as one exhibit states it, with the findings on it. papers: such as "ding2022". margin: the exhibit's."""

    claim: Claim
    exhibit: Exhibit
    papers: tuple[str, ...]
    judged: tuple[Judged, ...]
    margin: float

    @property
    def command(self) -> str:
        """Return the command that shows the cells, hours and memory of a run that would judge the claim."""
        return f"deltabench reproduce {self.exhibit.name} --dry-run"

    def verdicts(self) -> tuple[str, ...]:
        """Return the verdicts of its findings; "untested" where it has none."""
        return tuple(finding.verdict for finding in self.judged) or (UNTESTED,)


def stated(every: Iterable[Exhibit], here: Path) -> Iterator[Stated]:
    """Yield every claim of these exhibits. here: the folder of the runs' tables, such as results/exhibits."""
    for exhibit in every:
        findings = [*_reference(exhibit), *_runs(here, exhibit)]
        whole = [(claims.find(name), {**claims.find(name).options, **options}) for name, options in exhibit.claims]
        own = [(claim.with_options(options), float(options["margin"])) for claim, options in whole]
        for claim, margin in own:
            alike = sum(other.sentence == claim.sentence for other, _ in own)
            judged = tuple(
                finding
                for finding in findings
                if _is_on(finding.content, claim) and (alike == 1 or finding.content["margin"] == margin)
            )
            yield Stated(claim, exhibit, (OWN,) if claim.ours else papers(exhibit.source), judged, margin)


def papers(source: str) -> tuple[str, ...]:
    """Return the papers that a source names, such as "ding2022" for "Ding et al. 2022"; "own" where it names none."""
    return tuple(name.lower().replace(" et al. ", "") for name in paper_names(source)) or (OWN,)


def paper_names(source: str) -> tuple[str, ...]:
    """Return the papers that a source names, such as "Ding et al. 2022", each once."""
    return tuple(dict.fromkeys(_PAPER.findall(source)))


def _is_on(content: Mapping[str, Any], claim: Claim) -> bool:
    """Return whether a finding is on this claim with these options, as its sentence has them.

    Claims that differ by their margin alone have one sentence.
    """
    beginning = f"{claim.sentence.removesuffix('.')}:"  # whole: one claim's sentence may begin as another's
    return content["claim"] == claim.name and str(content["sentence"]).startswith(beginning)


def _reference(exhibit: Exhibit) -> Iterator[Judged]:
    yield from _read(assets.reference() / exhibit.name / "claims.json", REFERENCE)


def _runs(here: Path, exhibit: Exhibit) -> Iterator[Judged]:
    for path in sorted((here / exhibit.name).glob("*/claims.json")):
        yield from _read(path, str(path.parent))


def _read(path: Path, run: str) -> Iterator[Judged]:
    """Yield the findings of a file; none where it is absent."""
    if not path.is_file():
        return
    for content in strict_json.parse(plain_files.read_text(path))["findings"]:
        yield Judged(run, str(content["model"]), str(content["verdict"]), parts_of(content)[1], content)


def to_json(rows: Sequence[Stated]) -> list[dict[str, Any]]:
    """Return the claims as JSON values, each with all that its findings say."""
    return [
        {
            "claim": row.claim.name,
            "sentence": row.claim.sentence,
            "papers": list(row.papers),
            "source": row.exhibit.source,
            "exhibit": row.exhibit.name,
            "estimand": row.claim.estimand,
            "scale": row.claim.scale,
            "margin": row.margin if not row.judged else row.judged[0].content["margin"],
            "why": row.claim.why,
            "command": row.command,
            "findings": [{**finding.content, "run": finding.run} for finding in row.judged],
        }
        for row in rows
    ]
