"""Measure what only a GPU can show, in order of worth, within some minutes.

python -m harness.gpu_day --minutes 9 --out DIR      the same command again goes on where the last one ended
python -m harness.gpu_day --dry --out DIR            every part on tiny shapes on the CPU, to try it before

(a) the tests that need a GPU; (b) short bf16 cells of every method; (c) measured peaks of memory beside their forecast;
(d) the time of a step on large shapes; (e) two cells at once; (f) what reading NVML costs; (g) one real training.
Each part has its share of the time, and its rows are written as they are measured. A part that does not fit into the
device's memory is `oom`, and the rest goes on. Nothing is downloaded. DELTABENCH_DATA=FOLDER names the rows of part
(g). The summary is printed, and all of it is in DIR/export and in results/reference/gpu/DEVICE.

Exit code: 0 everything was measured (or is oom), 1 something failed or the time was over, 2 there is no GPU, or a
value that a person has to correct, 130 interrupted, 143 ended by SIGTERM, 129 by SIGHUP. What was measured until then
is reported.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import failure, network
from harness.errors import UsageError
from harness.gpu_day import day_export, day_summary, isolated
from harness.gpu_day.day import ENDED, WITHDRAWN, Day
from harness.gpu_day.day_parts import PARTS, Part, shares
from harness.processes import forkserver, termination
from harness.store import provenance

MINUTES = 9.0
MOST_MINUTES = 10_000
LAST_S = 5.0
"""Seconds that are kept for the summary."""
FACTS = "harness.gpu_day.on_device.device_facts:read"


def main(words: Sequence[str]) -> int:
    """Measure, print the summary and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.gpu_day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the most time that all parts take")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu-day"), metavar="DIR")
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--model", metavar="FOLDER", help="the model of the real training (default: its package)")
    parser.add_argument("--only", metavar="PART,…", help=f"these parts: {', '.join(part.name for part in PARTS)}")
    given = parser.parse_args(words)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with termination.interrupting() as interruption:
        code = _day(given)
    return interruption.exit_code(code)


def _day(given: argparse.Namespace) -> int:
    """Measure as the command line asks, and return the exit code without regard to SIGTERM and SIGHUP."""
    day = Day(given.out.resolve(), given.dry, given.model)
    try:
        end = time.time() + seconds(given.minutes)
        with network.forbidden():
            day.begin(about(day))
            return measured(day, chosen(given.only), end - LAST_S)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first part, or while the summary is written
        return termination.INTERRUPTED


def seconds(minutes: float) -> float:
    """Return the seconds of so many minutes. Raise UsageError for a number that is no time."""
    if not 0 < minutes < MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g}: give a number above 0 and below {MOST_MINUTES}, such as {MINUTES:g}.")
    return 60 * minutes


def about(day: Day) -> dict[str, object]:
    """Return what the day runs on. Raise UsageError where there is no GPU."""
    made = {**provenance.gather(), "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if day.dry:
        return {"dry": True, "device": "cpu", **made}
    facts = forkserver.call(FACTS, (), forkserver.preload(()))
    if "why" in facts:
        raise UsageError(
            f"there is no NVIDIA GPU here that deltabench can use ({facts['why']}). `python -m harness.gpu_day --dry` "
            "tries every part on the CPU."
        )
    return {"dry": False, **facts, **made}


def chosen(names: str | None) -> list[Part]:
    """Return the parts of these names; all without any. Raise UsageError for a name that no part has."""
    known = {part.name: part for part in PARTS}
    wanted = list(known) if names is None else names.split(",")
    for name in wanted:
        if name not in known:
            raise UsageError(f"--only {name}: no part has this name. Parts are {', '.join(known)}.")
    return [known[name] for name in wanted]


def measured(day: Day, parts: Sequence[Part], end: float) -> int:
    """Measure the parts until `end`, in seconds since the epoch, print the summary and return the exit code."""
    code = 0
    try:
        for place, part in enumerate(parts):
            left = end - time.time()
            share = left if day.dry else shares(parts, place, left)  # tiny shapes take what other work leaves them
            print(f"{part.letter} {part.name}: at most {max(0.0, share):.0f} s", file=sys.stderr, flush=True)
            _measure(day, part, time.time() + share)
    except KeyboardInterrupt:
        code = termination.INTERRUPTED
    rows = [row for part in parts for row in day.rows(part.name)]
    lacking = [part.name for part in parts if not day.rows(part.name)]
    print(day_summary.text(day))
    print(f"all figures: {day_export.write(day)}")
    return code or int(bool(lacking) or any(row["status"] not in ENDED for row in rows))


def _measure(day: Day, part: Part, deadline: float) -> None:
    """Measure one part. Whatever goes wrong in it is a row, and the other parts go on."""
    whole = f"all of {part.name}"
    try:
        for row in part.rows(day, deadline):
            day.keep(part.name, row)
        if any(row["name"] == whole for row in day.rows(part.name)):
            day.keep(part.name, {"name": whole, "status": WITHDRAWN})
    except Exception as error:  # of whatever kind, since the parts after it are worth more than this one's error
        status, text = failure.status(failure.kind(error)), isolated.one_line(failure.message(error))
        day.keep(part.name, {"name": whole, "status": status, "error": text})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
