# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sensitivity`: which statements survive what is only assumed."""

from __future__ import annotations

from typing import Annotated

import typer

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import Jobs, Measurement, Output, Shape, Share, job_count
from cyclescope.cli.progress import shown
from cyclescope.cli.results import config_of, print_rows_changed, print_written, wide, write_results
from cyclescope.config import Load, config_hash
from cyclescope.experiments.sensitivity import FURTHER_SEEDS, sensitivity
from cyclescope.report.sensitivities import print_sensitivity, sensitivity_document
from emu.errors import ConfigError
from emu.uarch.table import load as load_table


def add_to(app: typer.Typer) -> None:
    app.command("sensitivity", help="Rerun the comparison with each assumed row at x0.5 and x2: which statements hold?")(command)


@expanded
def command(
    shape: Shape = Shape(),
    measured: Measurement = Measurement(requests=2_000, warmup=500),
    load: Share = 0.7,
    row: Annotated[list[str] | None, typer.Option("--row", help="Vary this row alone; repeatable.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Further seeds, as the yardstick.")] = FURTHER_SEEDS,
    jobs: Jobs = 0,
    output: Output = Output(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = shape.hardware()
    offered = Load(load=load, **measured.amount)
    known = {each.name for each in load_table(hardware.uarch).rows}
    for name in row or []:
        if name not in known:
            raise ConfigError(f"--row {name}: processor table {hardware.uarch} has no such row")
    if not 0 <= seeds <= 100:
        raise ConfigError(f"--seeds is {seeds}: give 0 to 100 further seeds")
    output.check()
    with shown(output.quiet) as progress:
        result = sensitivity(
            hardware, offered, rows=row, timing=measured.timing, seeds=seeds, jobs=job_count(jobs), progress=progress
        )  # fmt: skip
    digest = config_hash(hardware, offered, measured.timing, "sensitivity", str(seeds), *(row or []))
    document = sensitivity_document(config_of(hardware, offered, measured.timing), digest, result)
    if not write_results(output, document):
        return
    console = wide()
    heading = (
        f"Assumed rows at x0.5 and x2: {hardware.cpus} vCPUs ({hardware.uarch}, {measured.timing}), "
        f"{measured.requests:,} requests a run, seed {measured.seed}, configuration {digest}"
    )
    print_sensitivity(console, result, heading)
    print_rows_changed(console, hardware.uarch, hardware.rows)
    print_written(console, output.out)
