# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sensitivity`: which statements survive what is only assumed."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.options import (
    Cpus,
    Jobs,
    Json,
    Memory,
    Net,
    Out,
    Quiet,
    Requests,
    Seed,
    Set,
    Timing,
    Uarch,
    Warmup,
    changed_rows,
    check_json_option,
    job_count,
    memory_mib,
    rate_bps,
    row_changes,
    write_json_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.sensitivity import FURTHER_SEEDS, sensitivity
from cyclescope.report.rundir import check_output, write_experiment_directory
from cyclescope.report.sensitivities import print_sensitivity, sensitivity_document
from emu.errors import ConfigError
from emu.uarch.table import load as load_table


def add_to(app: typer.Typer) -> None:
    app.command("sensitivity", help="Rerun the comparison with each assumed row at x0.5 and x2: which statements hold?")(command)


def command(
    cpus: Cpus = 4,
    mem: Memory = "256M",
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    net: Net = "10G",
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 2_000,
    warmup: Warmup = 500,
    seed: Seed = 1,
    load: Annotated[float, typer.Option("--load", help="Offered load, as a share of the slowest one's capacity.")] = 0.7,
    row: Annotated[list[str] | None, typer.Option("--row", help="Vary this row alone; repeatable.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Further seeds, as the yardstick.")] = FURTHER_SEEDS,
    jobs: Jobs = 0,
    json: Json = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Checks every option before the first guest boots."""
    hardware = Hardware(
        cpus=cpus, memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), rows=changed_rows(uarch, set_rows)
    )  # fmt: skip
    offered = Load(requests=requests, warmup=warmup, seed=seed, load=load)
    known = {each.name for each in load_table(uarch).rows}
    for name in row or []:
        if name not in known:
            raise ConfigError(f"--row {name}: processor table {uarch} has no such row")
    if not 0 <= seeds <= 100:
        raise ConfigError(f"--seeds is {seeds}: give 0 to 100 further seeds")
    check_json_option(json)
    if out is not None:
        check_output(out)
    with shown(quiet) as progress:
        result = sensitivity(
            hardware, offered, rows=row, timing=timing, seeds=seeds, jobs=job_count(jobs), progress=progress
        )  # fmt: skip
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(offered), "timing": timing}
    digest = config_hash(hardware, offered, timing, "sensitivity", str(seeds), *(row or []))
    document = sensitivity_document(config, digest, result)
    if out is not None:
        write_experiment_directory(out, document, {})
    if json is not None:
        write_json_option(json, document)
    if json == "-":
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    heading = (
        f"Assumed rows at x0.5 and x2: {cpus} vCPUs ({uarch}, {timing}), {requests:,} requests a run, "
        f"seed {seed}, configuration {digest}"
    )
    print_sensitivity(console, result, heading)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(uarch, hardware.rows)}", highlight=False)
    if out is not None:
        console.print(f"Written to {out}", highlight=False)
