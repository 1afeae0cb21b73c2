"""Tables of learning and forgetting: the loss on pretraining text, other tasks' scores, and the rank of the update."""

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.forgetting import learning_paths, rises
from harness.analysis.output import notes, rate_marks
from harness.analysis.output.table import MISSING, Entry, Table, number
from harness.analysis.study import estimates, statistics
from harness.analysis.study.estimates import Estimate
from harness.analysis.study.findings import OTHER_COLUMNS, SEEDS_ALONE
from harness.analysis.study.selection import Panel
from harness.analysis.study.study import Study
from harness.analysis.views import spectrum

AT_EQUAL = "rise less the ceiling's, at equal score"


def table(study: Study) -> Table:
    """Return one row per arm, the one that forgets least first: score, the loss before and after, and its rise.

    The last column has its rise less the ceiling's where both have the same score.
    """
    risen, rows = learning_paths.rises(study), learning_paths.rows(study)
    lines = []
    for arm in _order(risen):
        losses = [
            learning_paths.result(probed).get("pretraining_loss") or () for probed in rows[rows.arm == arm].probes
        ]
        lines.append((
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            _mean([loss[0] for loss in losses if loss], study.clean.cells(arm)),
            _mean([loss[-1] for loss in losses if loss], study.clean.cells(arm)),
            number(_estimate(risen, arm), digits=2),
            _against_ceiling(study, arm),
        ))  # fmt: skip
    heads = ("method", f"{study.role} score", "loss before", "loss after", "rise", AT_EQUAL)
    title = "Loss on held-out pretraining text, nats per word"
    return Table("forgetting", title, study.model, heads, tuple(lines), _notes(study))


def _against_ceiling(study: Study, arm: str) -> Entry:
    """Return the arm's rise less the ceiling's where both have the same score."""
    ceiling = study.ceiling
    if ceiling is None or arm == ceiling or not study.trains(arm) or arm not in learning_paths.rises(study).arms:
        return Entry(MISSING)
    return number(estimates.difference(learning_paths.at_equal_score(study, arm, ceiling), arm, ceiling), digits=2)


def other_tasks(study: Study) -> Table:
    """Return one row per arm: how far its score on each task that it was not trained on changed, in points."""
    rows = learning_paths.rows(study)
    names = list(
        dict.fromkeys(name for probed in rows.probes for name in learning_paths.result(probed).get("others") or ())
    )
    lines = []
    for arm in _order(learning_paths.rises(study)):
        entries = [number(_estimate(_change(study, name), arm), 100) for name in names]
        lines.append((rate_marks.named(study, arm), *entries))
    before = [_before(study, name) for name in names]
    lines.append((Entry("the bare backbone's score"), *(Entry(f"{100 * score:.1f}", 100 * score) for score in before)))
    title = "Change of the score on tasks that were not trained, points"
    return Table("other-tasks", title, study.model, ("method", *names), tuple(lines), _other_notes(study))


def _change(study: Study, name: str) -> Panel:
    """Return the change of the score on one other task, of each cell."""
    scores = [
        (learning_paths.result(probed).get("others") or {}).get(name) for probed in learning_paths.rows(study).probes
    ]
    return learning_paths.of_cells(study, [math.nan if two is None else two["after"] - two["before"] for two in scores])


def _before(study: Study, name: str) -> float:
    scores = [
        (learning_paths.result(probed).get("others") or {}).get(name) for probed in learning_paths.rows(study).probes
    ]
    return float(np.mean([two["before"] for two in scores if two]))


def with_ranks(study: Study) -> Table:
    """Return one row per arm: score, rise of the loss, and the rank of the update, the highest score first."""
    risen, ranks = learning_paths.rises(study), rises.ranks(study)
    change = learning_paths.of_cells(
        study, [spectrum.mean(probed, spectrum.shared(study), "change") for probed in learning_paths.rows(study).probes]
    )
    lines = [
        (
            rate_marks.named(study, arm),
            rate_marks.scored(study, arm),
            number(_estimate(risen, arm), digits=2),
            number(_estimate(ranks, arm), 100),
            number(_estimate(change, arm), digits=3),
        )
        for arm in rate_marks.by_score(study)
    ]
    heads = ("method", f"{study.role} score", "rise of the loss", "rank of the update, %", "size of the update")
    title = "Learning, forgetting and the rank of the update"
    return Table("learns-less", title, study.model, heads, tuple(lines), _rank_notes(study))


def _order(panel: Panel) -> list[str]:
    """Return the arms, the smallest mean first; those without one last."""
    means = {arm: _estimate(panel, arm).main.mean for arm in panel.arms}
    return sorted(panel.arms, key=lambda arm: (math.isnan(means[arm]), means[arm]))


def _estimate(panel: Panel, arm: str) -> Estimate:
    if arm not in panel.arms:
        return estimates.absent("not measured")
    return Estimate(*statistics.interval(panel.of(arm)), keys=panel.cells(arm))


def _mean(values: Sequence[float], keys: Sequence[str]) -> Entry:
    return Entry(f"{np.mean(values):.2f}", float(np.mean(values)), keys=tuple(keys)) if len(values) else Entry(MISSING)


def _notes(study: Study) -> tuple[str, ...]:
    counts = [learning_paths.result(probed).get("documents") or 0 for probed in learning_paths.rows(study).probes]
    return (
        *notes.common_notes(study),
        f"loss: mean per word of {max(counts, default=0)} held-out documents of the kind that the backbone was "
        "pretrained on, read as in its pretraining; before: of the bare backbone; after: at the last step of training",
        "at equal score: each at the first step at which it reaches the lower of the two final scores of its seed, "
        "between snapshots by a straight line",
        OTHER_COLUMNS,
        *_failed(study),
        *rate_marks.rate_notes(study),
    )


def _other_notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.label(study),
        "score on 128 test rows of each task after training (best checkpoint) less that of the bare backbone",
        SEEDS_ALONE,
        *rate_marks.notes(study, scores=False),
    )


def _rank_notes(study: Study) -> tuple[str, ...]:
    return (
        *notes.common_notes(study),
        "rise of the loss: on held-out pretraining text, at the last step, in nats per word",
        "rank of the update: how many singular values hold 90 % of its squared norm, as a share of the most possible, "
        f"mean over the {len(spectrum.shared(study))} matrices that every method changed; size: ||W - W0|| / ||W0||",
        OTHER_COLUMNS,
        *_failed(study),
        *rate_marks.rate_notes(study),
    )


def _failed(study: Study) -> tuple[str, ...]:
    """Return why some cells have no loss on pretraining text."""
    results = [learning_paths.result(probed) for probed in learning_paths.rows(study).probes]
    reasons = [str((outcome.get("why_null") or {}).get("pretraining_loss") or "") for outcome in results]
    return tuple(f"no loss on pretraining text: {reason}" for reason in dict.fromkeys(filter(None, reasons)))
