# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sweep`: latency over offered load, and where it turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Flows,
    Jobs,
    Keys,
    KvdLocks,
    Names,
    Output,
    Requests,
    Seed,
    Shape,
    Timing,
    Warmup,
    check_json_option,
    job_count,
    locks_of,
    personalities_of,
    row_changes,
    write_json_option,
    write_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING, Load, config_hash
from cyclescope.experiments.sweep import SHARES, sweep
from cyclescope.report.rundir import write_experiment_directory
from cyclescope.report.sweeps import print_sweep, sweep_document, sweep_picture
from emu.errors import ConfigError

PICTURE = "sweep.svg"


def add_to(app: typer.Typer) -> None:
    app.command("sweep", help="Latency over offered load, from a tenth of capacity to beyond it, and its knee.")(command)


@expanded
def command(
    personality: Names = DEFAULT_NAMES,
    shape: Shape = Shape(),
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 10_000,
    warmup: Warmup = 1_000,
    seed: Seed = 1,
    loads: Annotated[
        str | None, typer.Option("--loads", help="Rising shares of capacity, joined by commas: 0.1,0.5,1.2.")
    ] = None,
    keys: Keys = 1_000,
    flows: Flows = 64,
    locks: KvdLocks = "striped",
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
    jobs: Jobs = 0,
    output: Output = Output(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = shape.hardware()
    load = Load(requests=requests, warmup=warmup, seed=seed, keys=keys, flows=flows, locks=locks_of(locks))
    shares = SHARES if loads is None else _shares(loads)
    chosen = personalities_of(personality)
    output.check()
    check_json_option(None if svg is None else str(svg), "--svg")
    with shown(output.quiet) as progress:
        curves = sweep(chosen, hardware, load, shares, timing=timing, jobs=job_count(jobs), progress=progress)
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(load), "timing": timing}
    digest = config_hash(hardware, load, timing, "sweep", *(f"{share:g}" for share in shares))
    document = sweep_document(config, digest, curves)
    heading = (
        f"Latency over offered load: {hardware.cpus} vCPUs ({hardware.uarch}, {timing}), {requests:,} requests a load, "
        f"seed {seed}, configuration {digest}"
    )
    picture = sweep_picture(curves, f"Latency over offered load: {hardware.cpus} vCPUs, {hardware.uarch}, {timing}")
    if output.out is not None:
        write_experiment_directory(output.out, document, {PICTURE: picture})
    if svg is not None:
        write_option("--svg", str(svg), picture.encode())
    if output.json is not None:
        write_json_option(output.json, document)
    if output.json == "-":
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_sweep(console, curves, heading)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(hardware.uarch, hardware.rows)}", highlight=False)
    if output.out is not None:
        console.print(f"Written to {output.out}", highlight=False)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--loads is {text!r}: give shares of capacity joined by commas, such as 0.1,0.5,1.2") from None
