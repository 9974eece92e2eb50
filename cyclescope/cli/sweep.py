# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope sweep`: latency over offered load, and where it turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Cpus,
    Flows,
    Jobs,
    Json,
    Keys,
    KvdLocks,
    Memory,
    Names,
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
    locks_of,
    memory_mib,
    personalities_of,
    rate_bps,
    row_changes,
    write_json_option,
    write_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.sweep import SHARES, sweep
from cyclescope.report.rundir import check_output, write_experiment_directory
from cyclescope.report.sweeps import print_sweep, sweep_document, sweep_picture
from emu.errors import ConfigError

PICTURE = "sweep.svg"


def add_to(app: typer.Typer) -> None:
    app.command("sweep", help="Latency over offered load, from a tenth of capacity to beyond it, and its knee.")(command)


def command(
    personality: Names = DEFAULT_NAMES,
    cpus: Cpus = 4,
    mem: Memory = "256M",
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    net: Net = "10G",
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
    json: Json = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Checks every option before the first guest boots."""
    hardware = Hardware(
        cpus=cpus, memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), rows=changed_rows(uarch, set_rows)
    )  # fmt: skip
    load = Load(requests=requests, warmup=warmup, seed=seed, keys=keys, flows=flows, locks=locks_of(locks))
    shares = SHARES if loads is None else _shares(loads)
    chosen = personalities_of(personality)
    check_json_option(json)
    check_json_option(None if svg is None else str(svg), "--svg")
    if out is not None:
        check_output(out)
    with shown(quiet) as progress:
        curves = sweep(chosen, hardware, load, shares, timing=timing, jobs=job_count(jobs), progress=progress)
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(load), "timing": timing}
    digest = config_hash(hardware, load, timing, "sweep", *(f"{share:g}" for share in shares))
    document = sweep_document(config, digest, curves)
    heading = (
        f"Latency over offered load: {cpus} vCPUs ({uarch}, {timing}), {requests:,} requests a load, seed {seed}, "
        f"configuration {digest}"
    )
    picture = sweep_picture(curves, f"Latency over offered load: {cpus} vCPUs, {uarch}, {timing}")
    if out is not None:
        write_experiment_directory(out, document, {PICTURE: picture})
    if svg is not None:
        write_option("--svg", str(svg), picture.encode())
    if json is not None:
        write_json_option(json, document)
    if json == "-":
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_sweep(console, curves, heading)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(uarch, hardware.rows)}", highlight=False)
    if out is not None:
        console.print(f"Written to {out}", highlight=False)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--loads is {text!r}: give shares of capacity joined by commas, such as 0.1,0.5,1.2") from None
