"""What a command line asks of a sweep: one reader for every verb that runs or plans cells. Torch is not imported."""

import argparse
from collections.abc import Collection

from harness.cli import command_line
from harness.cli.command_line import CommandLine
from harness.config import compose, launchers
from harness.execution.sweep_plan import SweepOptions
from harness.forecast import device_fit
from harness.probes import registry as probes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option of every verb that runs or plans a grid."""
    parser.add_argument(
        "--skip-impossible", action="store_true", help="run the other cells where some combinations cannot run"
    )


def read(
    given: CommandLine,
    skip_impossible: bool = False,
    probed: Collection[str] = (),
    unprobed: Collection[int] | None = (),
) -> SweepOptions:
    """Return what the words ask for. probed: further probes of finished cells. unprobed: seeds that get none, besides
    those of trials of learning rates; None where every cell gets them.

    Raise UsageError for a launcher, a field or a value that does not exist.
    """
    runtime = probes.with_probes(given.configure(compose.defaults()["runtime"]), tuple(probed))
    chosen = launchers.choose(given.settings)
    return SweepOptions(
        runtime,
        chosen,
        command_line.count("jobs", given.settings.get("jobs", given.settings.get("launcher.jobs"))),
        tuple(given.settings["rerun"].split(",")) if "rerun" in given.settings else (),
        None if unprobed is None else frozenset(unprobed),
        skip_impossible,
        device_fit.share,
    )
