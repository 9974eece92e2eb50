# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sweep`: latency over offered load, and where it turns."""

from __future__ import annotations

from typing import Annotated

import typer

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Flows,
    Jobs,
    Keys,
    KvdLocks,
    Measurement,
    Names,
    Shape,
    job_count,
    locks_of,
    personalities_of,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Drawn, config_of, print_rows_changed, print_written, wide, write_results
from cyclescope.config import Load, config_hash
from cyclescope.experiments.sweep import SHARES, sweep
from cyclescope.report.sweeps import print_sweep, sweep_document, sweep_picture
from emu.errors import ConfigError

PICTURE = "sweep.svg"


def add_to(app: typer.Typer) -> None:
    app.command("sweep", help="Latency over offered load, from a tenth of capacity to beyond it, and its knee.")(command)


@expanded
def command(
    personality: Names = DEFAULT_NAMES,
    shape: Shape = Shape(),
    measured: Measurement = Measurement(),
    loads: Annotated[
        str | None, typer.Option("--loads", help="Rising shares of capacity, joined by commas: 0.1,0.5,1.2.")
    ] = None,
    keys: Keys = 1_000,
    flows: Flows = 64,
    locks: KvdLocks = "striped",
    jobs: Jobs = 0,
    output: Drawn = Drawn(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = shape.hardware()
    load = Load(keys=keys, flows=flows, locks=locks_of(locks), **measured.amount)
    shares = SHARES if loads is None else _shares(loads)
    chosen = personalities_of(personality)
    output.check()
    with shown(output.quiet) as progress:
        curves = sweep(chosen, hardware, load, shares, timing=measured.timing, jobs=job_count(jobs), progress=progress)
    digest = config_hash(hardware, load, measured.timing, "sweep", *(f"{share:g}" for share in shares))
    document = sweep_document(config_of(hardware, load, measured.timing), digest, curves)
    heading = (
        f"Latency over offered load: {hardware.cpus} vCPUs ({hardware.uarch}, {measured.timing}), "
        f"{measured.requests:,} requests a load, seed {measured.seed}, configuration {digest}"
    )
    picture = sweep_picture(curves, f"Latency over offered load: {hardware.cpus} vCPUs, {hardware.uarch}, {measured.timing}")
    if not write_results(output, document, PICTURE, picture):
        return
    console = wide()
    print_sweep(console, curves, heading)
    print_rows_changed(console, hardware.uarch, hardware.rows)
    print_written(console, output.out)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--loads is {text!r}: give shares of capacity joined by commas, such as 0.1,0.5,1.2") from None
