# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sensitivity`: which statements survive what is only assumed."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    Jobs,
    Output,
    Requests,
    Seed,
    Shape,
    Timing,
    Warmup,
    job_count,
    row_changes,
    write_json_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING, Load, config_hash
from cyclescope.experiments.sensitivity import FURTHER_SEEDS, sensitivity
from cyclescope.report.rundir import write_experiment_directory
from cyclescope.report.sensitivities import print_sensitivity, sensitivity_document
from emu.errors import ConfigError
from emu.uarch.table import load as load_table


def add_to(app: typer.Typer) -> None:
    app.command("sensitivity", help="Rerun the comparison with each assumed row at x0.5 and x2: which statements hold?")(command)


@expanded
def command(
    shape: Shape = Shape(),
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 2_000,
    warmup: Warmup = 500,
    seed: Seed = 1,
    load: Annotated[float, typer.Option("--load", help="Offered load, as a share of the slowest one's capacity.")] = 0.7,
    row: Annotated[list[str] | None, typer.Option("--row", help="Vary this row alone; repeatable.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Further seeds, as the yardstick.")] = FURTHER_SEEDS,
    jobs: Jobs = 0,
    output: Output = Output(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = shape.hardware()
    offered = Load(requests=requests, warmup=warmup, seed=seed, load=load)
    known = {each.name for each in load_table(hardware.uarch).rows}
    for name in row or []:
        if name not in known:
            raise ConfigError(f"--row {name}: processor table {hardware.uarch} has no such row")
    if not 0 <= seeds <= 100:
        raise ConfigError(f"--seeds is {seeds}: give 0 to 100 further seeds")
    output.check()
    with shown(output.quiet) as progress:
        result = sensitivity(
            hardware, offered, rows=row, timing=timing, seeds=seeds, jobs=job_count(jobs), progress=progress
        )  # fmt: skip
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(offered), "timing": timing}
    digest = config_hash(hardware, offered, timing, "sensitivity", str(seeds), *(row or []))
    document = sensitivity_document(config, digest, result)
    if output.out is not None:
        write_experiment_directory(output.out, document, {})
    if output.json is not None:
        write_json_option(output.json, document)
    if output.json == "-":
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    heading = (
        f"Assumed rows at x0.5 and x2: {hardware.cpus} vCPUs ({hardware.uarch}, {timing}), {requests:,} requests a run, "
        f"seed {seed}, configuration {digest}"
    )
    print_sensitivity(console, result, heading)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(hardware.uarch, hardware.rows)}", highlight=False)
    if output.out is not None:
        console.print(f"Written to {output.out}", highlight=False)
